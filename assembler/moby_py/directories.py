"""Where a platform keeps its state and its run-time files.

    root            /var/lib/moby-py/NAME                  /run/moby-py/NAME
    anyone else     $XDG_DATA_HOME/moby-py/NAME            $XDG_RUNTIME_DIR/moby-py/NAME
                    (default ~/.local/share)               (default /run/user/UID, else /tmp/moby-py-UID)
    MOBY_PY_STATE, MOBY_PY_RUN: base directories that go before all of these.

A daemon that `moby_py.rootless` has put into a user namespace still gets the directories of the user
who started it, although it looks like root to itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from moby_py.errors import HostError

_outside_uid: int | None = None


def set_outside_uid(uid: int) -> None:
    """Called by `moby_py.rootless` before it enters a namespace: the user's id outside of it."""
    global _outside_uid  # noqa: PLW0603 - one fact about this process
    _outside_uid = uid


def user_id() -> int:
    """The id of the user this process works for: the effective one, or the one outside of the
    namespace that `rootless.enter` entered."""
    return os.geteuid() if _outside_uid is None else _outside_uid


def state_dir(name: str) -> Path:
    """The directory of what survives a reboot. Not created."""
    base = _absolute("MOBY_PY_STATE")
    if base is not None:
        return base / name
    if user_id() == 0:
        return Path("/var/lib/moby-py") / name
    data = _absolute("XDG_DATA_HOME")
    return (data or _home() / ".local/share") / "moby-py" / name


def run_dir(name: str) -> Path:
    """The directory of what may be gone after a reboot. Not created, but for its fallback's base:
    /tmp/moby-py-UID is made (0700) or checked to be ours, since anyone could have made it before.

    Raises HostError when that base belongs to somebody else.
    """
    base = _absolute("MOBY_PY_RUN")
    if base is not None:
        return base / name
    uid = user_id()
    if uid == 0:
        return Path("/run/moby-py") / name
    runtime = _absolute("XDG_RUNTIME_DIR") or Path(f"/run/user/{uid}")
    if _is_private(runtime, uid):
        return runtime / "moby-py" / name
    fallback = Path(f"/tmp/moby-py-{uid}")
    try:
        fallback.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_private(fallback, uid):
            raise HostError(
                "no private directory for run-time files - "
                f"{fallback} is not a directory of yours with mode 0700",
                hint="set XDG_RUNTIME_DIR or MOBY_PY_RUN to a directory that only you can enter",
            ) from None
    return fallback / name


def _absolute(variable: str) -> Path | None:
    """A directory from the environment; the XDG specification has relative ones ignored, ours may
    be relative to where the user stands."""
    value = os.environ.get(variable, "")
    if not value:
        return None
    if variable.startswith("MOBY_PY_"):
        return Path(value).absolute()
    return Path(value) if Path(value).is_absolute() else None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise HostError(
            f"no home directory - user id {user_id()} is not in /etc/passwd and HOME is not set",
            hint="set HOME, XDG_DATA_HOME or MOBY_PY_STATE",
        ) from error


def _is_private(directory: Path, uid: int) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    owner = 0 if _outside_uid is not None else uid
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077
