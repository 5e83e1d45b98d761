"""Who a process runs as: Docker's `user[:group]`, looked up in the container's own files.

The rules are those of moby/sys/user (GetExecUser): a name or a number; the first matching line
wins; a number needs no line; a user named without a group also gets the groups that list them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from moby_components.common.inroot import read_in_root
from moby_py.errors import InvalidArgument

LARGEST_ID = 2**31 - 1
_LARGEST_FILE = 8 << 20


@dataclass(frozen=True, slots=True)
class User:
    """`groups` are the supplementary ones, the primary first (it is one of them: CVE-2022-36109)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str = "/"
    name: str = ""


def resolve(rootfs: Path, user: str, groups: Sequence[str] = ()) -> User:
    """`user` is "", `name|uid` or `name|uid:group|gid`; `groups` (--group-add) are names or gids.

    Raises `InvalidArgument` for a name that is not there and for an id out of range.
    """
    who, _, group = user.partition(":")
    uid, gid, home, name = 0, 0, "/", ""
    for fields in _lines(rootfs, "/etc/passwd", 6):
        if (who and who in (fields[0], fields[2])) or (not who and fields[2] == "0"):
            uid, gid = _number(fields[2], user), _number(fields[3], user)
            name, home = fields[0], fields[5] or "/"
            break
    else:
        if who:
            if not _is_number(who):
                raise InvalidArgument(f"unable to find user {who} - no matching entries in passwd file")
            uid = _number(who, user)
    more: list[int] = []
    table = list(_lines(rootfs, "/etc/group", 3)) if group or name or groups else []
    if group:
        gid = _group(table, group)
    elif name:
        more = [_number(f[2], user) for f in table if len(f) > 3 and name in f[3].split(",")]
    more += [_group(table, added) for added in groups]
    return User(uid, gid, tuple(dict.fromkeys([gid, *more])), home, name)


def _group(table: Sequence[Sequence[str]], wanted: str) -> int:
    for fields in table:
        if wanted in (fields[0], fields[2]):
            return _number(fields[2], wanted)
    if not _is_number(wanted):
        raise InvalidArgument(f"unable to find group {wanted} - no matching entries in group file")
    return _number(wanted, wanted)


def _lines(rootfs: Path, path: str, least: int) -> Iterator[list[str]]:
    text = read_in_root(rootfs, path, _LARGEST_FILE) or b""
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and not line.startswith("#") and _is_number(fields[2]):
            yield fields


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(text: str, where: str) -> int:
    if not _is_number(text) or int(text) > LARGEST_ID:
        raise InvalidArgument(f"invalid user {where!r} - ids must be in the range 0-{LARGEST_ID}")
    return int(text)
