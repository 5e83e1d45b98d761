"""Which users a container of an ordinary user's platform can have."""

from __future__ import annotations

from moby_components.common import users
from moby_py.errors import InvalidArgument
from moby_py.rootless import id_map


def check_mapped(user: users.User, *, rootless: bool) -> None:
    """Without root only some ids exist. Raises InvalidArgument for another one."""
    if not rootless:
        return
    for kind, number in (("uid", user.uid), ("gid", user.gid)):
        if not any(inside <= number < inside + count for inside, _, count in id_map(kind)):
            raise InvalidArgument(
                f"cannot run as {kind} {number} - it is not mapped into this platform's user namespace",
                hint="install newuidmap (uidmap), give the user ranges in /etc/subuid and /etc/subgid, "
                "and start the platform again",
            )
