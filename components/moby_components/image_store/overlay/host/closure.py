"""Programs of this host and everything they need to start: libraries, loaders, script interpreters."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moby_components.image_store.overlay.host.elf import Elf, read_elf
from moby_py.errors import NotFound

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_LINKS = 40
_MAX_INCLUDES = 100


@dataclass(slots=True)
class Closure:
    """Absolute paths: `files` to copy, `links` (path -> what the symbolic link says) to make."""

    files: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    programs: list[str] = field(default_factory=list)
    """Where each asked-for program is called from, in order."""


def closure_of(programs: Sequence[str]) -> Closure:
    """Names are looked for on the usual PATH. Raises NotFound naming what is missing."""
    closure = Closure()
    for merged in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if Path(merged).is_symlink():  # /bin -> usr/bin: both spellings are used everywhere
            closure.links[merged] = str(Path(merged).readlink())
    finder = _Finder(closure)
    for program in programs:
        path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_PATH}")
        if path is None:
            raise NotFound(f"no such program on this host: {program}", hint="give its name or full path")
        closure.programs.append(str(Path(path).absolute()))
        finder.add(str(Path(path).absolute()))
    return closure


class _Finder:
    def __init__(self, closure: Closure) -> None:
        self._closure = closure
        self._defaults = list(_library_folders())

    def add(self, path: str) -> None:
        """A file by the path it is called by, with the links on the way, and what it needs in turn."""
        real = self._follow(path)
        if real in self._closure.files:
            return
        self._closure.files.add(real)
        elf = read_elf(Path(real))
        if elf is None:
            self._script(real)
            return
        if elf.interpreter:
            self.add(elf.interpreter)
        for library in elf.needed:
            self.add(self._library(library, elf, real))

    def _follow(self, path: str) -> str:
        """The file at the end of all symbolic links, each of which is noted."""
        todo = [part for part in path.split("/") if part][::-1]
        done: list[str] = []
        count = 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                del done[len(done) - (part == "..") :]
                continue
            here = "/" + "/".join((*done, part))
            if not Path(here).is_symlink() or count > _MAX_LINKS:
                done.append(part)
                continue
            count += 1
            target = str(Path(here).readlink())
            self._closure.links[here] = target
            if target.startswith("/"):
                done = []
            todo += [piece for piece in target.split("/") if piece][::-1]
        real = "/" + "/".join(done)
        if not Path(real).is_file():
            raise NotFound(f"no such program on this host: {path}")
        return real

    def _library(self, name: str, elf: Elf, user: str) -> str:
        """ld.so(8): the program's own paths, then those of /etc/ld.so.conf, then the default ones."""
        if "/" in name:
            return name
        origin = str(Path(user).parent)
        own = [path.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for path in elf.paths]
        for folder in (*own, *self._defaults):
            path = Path(folder) / name
            if path.is_file():
                found = read_elf(path)
                if found is not None and found.arch == elf.arch:
                    return str(path)
        raise NotFound(f"no such library on this host: {name}, which {user} needs")

    def _script(self, real: str) -> None:
        with Path(real).open("rb") as file:
            first = file.readline(256)
        if first.startswith(b"#!"):
            words = first[2:].decode("utf-8", "surrogateescape").split()
            if words and words[0].startswith("/"):
                self.add(words[0])


def _library_folders() -> Iterator[str]:
    yield from _configured(Path("/etc/ld.so.conf"), [0])
    yield from ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
    for base in ("/lib", "/usr/lib"):
        yield from (str(path) for path in sorted(Path(base).glob("*-linux-*")))


def _configured(path: Path, count: list[int]) -> Iterator[str]:
    count[0] += 1
    if count[0] > _MAX_INCLUDES or not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["include"]:
            for pattern in words[1:]:
                for included in sorted(Path("/").glob(str(path.parent / pattern).lstrip("/"))):
                    yield from _configured(included, count)
        elif words:
            yield words[0]
