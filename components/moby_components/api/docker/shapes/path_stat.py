"""Docker's ContainerPathStat. Its mode is Go's os.FileMode, whose type bits are not stat(2)'s."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from typing import Any

from moby_py.model import PathStat

_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFREG: 0,
}
_FLAGS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """
    >>> oct(go_mode(0o100644)), hex(go_mode(0o41777))
    ('0o644', '0x801001ff')
    """
    flags = sum(go for unix, go in _FLAGS if mode & unix)
    return mode & 0o777 | _TYPES.get(stat.S_IFMT(mode), 1 << 19) | flags


def path_stat(found: PathStat) -> dict[str, Any]:
    time = datetime.fromtimestamp(found.modified, UTC)
    return {
        "name": found.name,
        "size": found.size,
        "mode": go_mode(found.mode),
        "mtime": time.isoformat().replace("+00:00", "Z"),
        "linkTarget": found.link_target,
    }
