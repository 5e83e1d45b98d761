"""What a client sees of an error: `MobyError.http_status` and `{"message": ...}`. Decided here only."""

from __future__ import annotations

import errno
import os
import sqlite3

from moby_py.errors import InvalidArgument, MobyError, Unavailable, Unsupported


class TooLarge(InvalidArgument):
    """A JSON body beyond the limit."""

    http_status = 413


_ROOM = "make room on the file system of the platform's state, or remove images and containers"
_OF_HOST = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "make the file system of the platform's state writable",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and start the platform again",
    errno.ENFILE: "raise fs.file-max",
}
NOT_A_MANAGER = (
    "This node is not a swarm manager. Use another platform for services: this one runs containers "
    "on one host, and keeps secrets without swarm."
)


def of_host(error: Exception) -> MobyError | None:
    """A full disk and its like: no bug of ours, and no traceback. None for anything else."""
    if isinstance(error, OSError) and error.errno in _OF_HOST:
        return Unavailable(os.strerror(error.errno).lower(), hint=_OF_HOST[error.errno])
    if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
        return Unavailable(str(error), hint=_ROOM)
    return None


def not_a_swarm() -> Unavailable:
    return Unavailable(NOT_A_MANAGER)


def not_yet(what: str) -> Unsupported:
    """A part of Docker's API that this version does not serve: named, and told apart from 404."""
    return Unsupported(f"{what} is not served by this version of moby-py's Docker API")


def message(error: MobyError) -> str:
    """The hint goes along as a second line, since Docker's clients know no field for it."""
    return f"{error.message}\nhint: {error.hint}" if error.hint else error.message
