"""A container's tar -> local files, for `cp` out of it. The archive is not trusted: whoever writes in a
container chooses its names, links and contents.

Every folder is entered by a descriptor and never through a link, so that nothing outside of the
destination is reached - not by `..`, an absolute name, a link that an earlier entry made, or a hard
link. Set-id bits, owners and device nodes come along with `keep` only.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from moby_py.errors import DataError, MobyError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20


def unpack(pieces: Iterable[bytes], folder: Path, *, rename: tuple[str, str] | None, keep: bool) -> list[str]:
    """Below the existing local `folder`. `rename`: (first part of the archive's names, the one that it
    becomes). Returns the names that were left out. Raises DataError, MobyError, OSError."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with tarfile.open(fileobj=io.BufferedReader(_Pieces(pieces)), mode="r|", errorlevel=2) as archive:
            into = _Into(top, keep=keep)
            for info in archive:
                into.take(_parts(info.name, rename), info, archive, rename)
            into.finish()
            return into.left_out
    except tarfile.TarError as error:
        raise DataError(f"the platform sent no proper tar - {error}") from None
    finally:
        os.close(top)


def _parts(name: str, rename: tuple[str, str] | None) -> list[str]:
    """The names from the folder down to the entry. Raises DataError for what points out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise DataError(f"refused an entry of the archive - {name!r} points out of the destination")
    if rename is not None:
        old, new = rename
        if old in ("/", "."):
            return [new, *parts]
        if parts[:1] == [old]:
            return [new, *parts[1:]]
    return parts


class _Into:
    def __init__(self, top: int, *, keep: bool) -> None:
        self._top = top
        self._keep = keep
        self._folders: list[tuple[list[str], tarfile.TarInfo]] = []
        self.left_out: list[str] = []

    def take(
        self,
        parts: list[str],
        info: tarfile.TarInfo,
        archive: tarfile.TarFile,
        rename: tuple[str, str] | None,
    ) -> None:
        if not parts:
            return
        name = parts[-1]
        with self._folder(parts[:-1], make=True) as parent:
            self._make_way(parent, name, folder=info.isdir())
            if info.isdir():
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=parent)
                self._folders.append((parts, info))
            elif info.islnk():
                source = _parts(info.linkname, rename)
                with self._folder(source[:-1]) as other:
                    os.link(source[-1], name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
            elif info.issym():
                os.symlink(info.linkname, name, dir_fd=parent)
                self._own(info, name, parent)
                os.utime(name, (info.mtime, info.mtime), dir_fd=parent, follow_symlinks=False)
            elif info.isreg():
                self._file(parent, name, info, archive)
            elif info.isfifo() or (self._keep and (info.ischr() or info.isblk())):
                self._node(parent, name, info)
            else:
                self.left_out.append(info.name)

    def finish(self) -> None:
        """Modes and times of folders, deepest first, once nothing in them changes any more."""
        for parts, info in reversed(self._folders):
            with contextlib.suppress(FileNotFoundError), self._folder(parts) as fd:
                self._own(info, fd)
                os.fchmod(fd, self._mode(info))
                os.utime(fd, (info.mtime, info.mtime))

    @contextlib.contextmanager
    def _folder(self, parts: list[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder. Raises DataError where a link or a file is in the way."""
        fd = os.dup(self._top)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=fd)
                try:
                    below = os.open(part, _FOLDER, dir_fd=fd)
                except NotADirectoryError:
                    raise DataError(
                        f"refused an entry of the archive - it leads through {'/'.join(parts)!r}, no folder"
                    ) from None
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def _make_way(self, parent: int, name: str, *, folder: bool) -> None:
        """What is there goes, but a folder never for a file nor the other way round: Docker's rule."""
        try:
            there = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        is_folder = stat.S_ISDIR(there.st_mode)
        if is_folder != folder:
            kinds = ("non-directory", "directory")
            raise MobyError(f"cannot overwrite {kinds[is_folder]} {name!r} with {kinds[folder]}")
        if not folder:
            os.unlink(name, dir_fd=parent)

    def _file(self, parent: int, name: str, info: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        content = archive.extractfile(info)
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        with os.fdopen(fd, "wb") as file:
            while content is not None and (piece := content.read(_PIECE)):
                file.write(piece)
            file.flush()
            self._own(info, fd)
            os.fchmod(fd, self._mode(info))
            os.utime(fd, (info.mtime, info.mtime))

    def _node(self, parent: int, name: str, info: tarfile.TarInfo) -> None:
        kind = stat.S_IFIFO if info.isfifo() else stat.S_IFCHR if info.ischr() else stat.S_IFBLK
        old = os.umask(0)
        try:
            os.mknod(name, kind | self._mode(info), os.makedev(info.devmajor, info.devminor), dir_fd=parent)
        finally:
            os.umask(old)
        self._own(info, name, parent)

    def _mode(self, info: tarfile.TarInfo) -> int:
        return info.mode & (0o7777 if self._keep else 0o1777)

    def _own(self, info: tarfile.TarInfo, where: int | str, parent: int | None = None) -> None:
        if not self._keep or os.geteuid() != 0:
            return
        if parent is None:
            os.chown(where, info.uid, info.gid)
        else:
            os.chown(where, info.uid, info.gid, dir_fd=parent, follow_symlinks=False)


class _Pieces(io.RawIOBase):
    """Pieces as the file that tarfile reads from, front to back."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
