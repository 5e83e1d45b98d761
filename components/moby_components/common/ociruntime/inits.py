"""A static init program of the host for `docker run --init`: it is bound into containers."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

NAMES = ("docker-init", "catatonit", "tini-static", "tini")
FOLDERS = ("/usr/libexec/podman", "/usr/libexec/docker", "/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin")
_INTERPRETER = 3  # PT_INTERP


def find_init() -> Path | None:
    """The first of `NAMES` that needs no library of the host; None when there is none."""
    path = os.pathsep.join((*FOLDERS, os.environ.get("PATH", "")))
    for name in NAMES:
        found = shutil.which(name, path=path)
        if found and is_static(Path(found)):
            return Path(found).resolve()
    return None


def is_static(path: Path) -> bool:
    """Whether an ELF program asks for no dynamic loader, which no container need have."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2:
            return False
        order = "<" if head[5] == 1 else ">"
        (offset,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    kinds = (struct.unpack_from(f"{order}I", table, i * size)[0] for i in range(len(table) // size))
    return _INTERPRETER not in kinds
