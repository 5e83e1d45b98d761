"""Files before they are written: relative path -> bytes and mode."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from moby_py.errors import MobyError


@dataclass(frozen=True, slots=True)
class File:
    data: bytes
    mode: int = 0o644


Tree = dict[str, File]


def write_tree(files: Tree, directory: Path) -> None:
    """Write into an existing empty directory; modes do not depend on the umask."""
    for name in sorted(files):
        path = directory / name
        for parent in reversed(path.relative_to(directory).parents[:-1]):
            folder = directory / parent
            if not folder.exists():
                folder.mkdir()
                folder.chmod(0o755)
        path.write_bytes(files[name].data)
        path.chmod(files[name].mode)


@contextlib.contextmanager
def beside(out: Path) -> Iterator[Path]:
    """A temporary directory next to `out` (the same file system: it can be renamed into place),
    removed afterwards if it is still there. Raises MobyError when it cannot be made."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".new", dir=out.parent))
    except OSError as error:
        raise MobyError(
            f"cannot write {out} - {error.strerror or error}", hint="-o DIR with a directory you may write to"
        ) from error
    try:
        yield temporary
    except OSError as error:
        raise MobyError(f"cannot write {out} - {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
