"""A platform as one tar: sorted names, no owner, no time of its own; unpacks to NAME-of-the-tar/."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

from moby_py.errors import MobyError
from moby_py.outputs.tree import Tree, beside, write_tree

MTIME = 0
MAX_MEMBER = 16 << 20


class TarOutput:
    """Replaces an older tar of a platform, and nothing else."""

    def check(self, out: Path) -> None:
        if not out.exists() and not out.is_symlink():
            return
        try:
            self.read(out, "platform.lock")
        except MobyError:
            raise MobyError(
                f"{out} is not the tar of a platform - build replaces nothing but what it wrote before",
                hint="name another file with -o, or move this one away",
            ) from None

    def read(self, out: Path, name: str) -> bytes:
        try:
            with tarfile.open(out, "r:") as archive:
                for member in archive:
                    if member.isreg() and member.name.partition("/")[2] == name and member.size < MAX_MEMBER:
                        content = archive.extractfile(member)
                        return content.read() if content else b""
        except (OSError, tarfile.TarError) as error:
            raise MobyError(
                f"there is no {name} in {out} to compare with - {error}", hint="build once without --locked"
            ) from error
        raise MobyError(f"there is no {name} in {out} to compare with - it is no platform")

    def write(self, files: Tree, out: Path, *, complete: Callable[[Path], None]) -> None:
        with beside(out) as temporary:
            tree = temporary / out.stem
            tree.mkdir()
            tree.chmod(0o755)
            write_tree(files, tree)
            complete(tree)
            packed = temporary / out.name
            _pack(tree, packed)
            self.check(out)
            packed.rename(out)


def _pack(tree: Path, target: Path) -> None:
    with (
        target.open("wb") as raw,
        tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted([tree, *tree.rglob("*")], key=lambda p: p.relative_to(tree).parts):
            info = archive.gettarinfo(path, arcname=path.relative_to(tree.parent).as_posix())
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            info.mtime = MTIME
            data = path.read_bytes() if info.isreg() else b""
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
