"""Finds the programs that components need: where they are, which version, which bytes."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from moby_py.locate import module_file
from moby_py.needs import Binary

EXTRA_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Looked at after PATH: an ordinary user's PATH often lacks them, and runc lives there."""
VERSION_TIMEOUT = 5.0
VERSION = re.compile(r"\d+(?:\.\d+)+(?:[-+~][0-9A-Za-z.]+)*|\d{6,}")


@dataclass(frozen=True, slots=True)
class Program:
    """A program as found. `problem` says why it cannot be used ("" when it can); `hint` the way out."""

    path: str = ""
    version: str = ""
    sha256: str = ""
    problem: str = ""
    hint: str | None = None


def find(need: Binary) -> Program:
    """Look for one program: its absolute path, its Python module, PATH. Runs it once for its version."""
    path = _locate(need)
    if path is None:
        where = f"there is no program {need.path}" if need.path else f"{need.name} is not installed"
        return Program(problem=where, hint=_install(need))
    try:
        version = version_of(path, need.version_args)
    except OSError as error:
        reason = error.strerror or str(error)
        return Program(path, problem=f"{path} does not run: {reason}", hint=_install(need))
    program = Program(path, version, digest_of(path))
    if need.min_version and _numbers(version) < _numbers(need.min_version):
        return Program(
            path,
            version,
            program.sha256,
            problem=f"{path} is version {version or 'unknown'}, at least {need.min_version} is needed",
            hint=_install(need),
        )
    return program


def version_of(path: str, arguments: tuple[str, ...]) -> str:
    """The first thing like a version in what the program prints; "" when there is none.

    Raises OSError when it cannot be started or does not end within five seconds.
    """
    return _version(path, arguments, _stamp(path)) if arguments else ""


def digest_of(path: str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal. Raises OSError."""
    return _digest(path, _stamp(path))


Stamp = tuple[int, int, int]


def _stamp(path: str) -> Stamp:
    """Changes when the file does: several parts share a program, which is looked at once."""
    facts = Path(path).stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


@functools.cache
def _version(path: str, arguments: tuple[str, ...], stamp: Stamp) -> str:  # noqa: ARG001 - part of the key
    try:
        done = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_TIMEOUT,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"no answer within {VERSION_TIMEOUT:g} s") from error
    said = done.stdout[:4096].decode(errors="replace")
    found = VERSION.search(said.partition("Copyright")[0])  # a licence has a version too
    return found.group() if found else ""


@functools.cache
def _digest(path: str, stamp: Stamp) -> str:  # noqa: ARG001 - part of the key
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _locate(need: Binary) -> str | None:
    if need.path:
        return need.path if _is_program(need.path) else None
    if need.module:
        module, _, inside = need.module.partition(":")
        origin = module_file(module)
        if origin is not None and _is_program(str(origin.parent / inside)):
            return str(origin.parent / inside)
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *EXTRA_PATH))
    found = shutil.which(need.name, path=search)
    return str(Path(found).absolute()) if found else None


def _is_program(path: str) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)


def _install(need: Binary) -> str | None:
    if need.hint:
        return need.hint
    if need.path:
        return f"name an existing program instead of {need.path}"
    if need.package:
        return f"apt-get install {need.package}"
    return f"install {need.name} or put it on PATH"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
