"""Secrets on their way into a container: a tmpfs of its own, readable by its user alone.

The values come from `Secrets.reveal`, go into files of the tmpfs, and are dropped. The host's side
of the tmpfs is detached as soon as the runtime has bound its files; the container keeps it alive.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from moby_components.common import mounts
from moby_py.errors import InvalidArgument, NotFound
from moby_py.kinds import Secrets

_ROOM = 64 << 10


async def reveal(secrets: Secrets | None, names: Mapping[str, str]) -> dict[str, bytes]:
    """target -> value for a container's target -> secret name. Raises NotFound, InvalidArgument."""
    if names and secrets is None:
        raise InvalidArgument(
            "this platform keeps no secrets - a mount of type secret was asked for",
            hint="add `secrets: age` to the blueprint's components",
        )
    values = {}
    for target, name in names.items():
        assert secrets is not None  # noqa: S101 - told to mypy
        try:
            values[target] = await secrets.reveal(name)
        except NotFound:
            raise NotFound(
                f"secret {name} does not exist - the container mounts it at {target}",
                hint=f"docker secret create {name} FILE",
            ) from None
    return values


def deliver(folder: Path, values: Mapping[str, bytes], *, uid: int, gid: int) -> dict[str, Path]:
    """Write `values` (by target) to a new tmpfs on `folder`; target -> file on the host. Blocking.
    A failed delivery leaves nothing mounted."""
    folder.mkdir(mode=0o700)
    try:
        size = sum(map(len, values.values())) + _ROOM + 4096 * len(values)
        mounts.mount("tmpfs", "secrets", folder, ["nosuid", "nodev", "noexec", "mode=0700", f"size={size}"])
        files = {}
        for number, (target, value) in enumerate(values.items()):
            path = folder / str(number)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
            try:
                view = memoryview(value)
                while view:
                    view = view[os.write(fd, view) :]
                _give(fd, uid, gid)
            finally:
                os.close(fd)
            files[target] = path
    except BaseException:
        withdraw(folder)
        raise
    return files


def withdraw(folder: Path) -> None:
    """Detach the host's side. Idempotent."""
    if folder.is_dir():
        mounts.umount(folder, lazy=True)
        folder.rmdir()


def _give(fd: int, uid: int, gid: int) -> None:
    try:
        os.fchown(fd, uid, gid)
    except PermissionError:
        # An id that this user namespace does not know: readable by the container's root instead.
        return
