"""What a client sees of an error: `MobyError.http_status` and `{"message": ...}`. Decided here only."""

from __future__ import annotations

from moby_py.errors import InvalidArgument, MobyError, Unavailable, Unsupported


class TooLarge(InvalidArgument):
    """A JSON body beyond the limit."""

    http_status = 413


NOT_A_MANAGER = (
    "This node is not a swarm manager. Use another platform for services: this one runs containers "
    "on one host, and keeps secrets without swarm."
)


def not_a_swarm() -> Unavailable:
    return Unavailable(NOT_A_MANAGER)


def not_yet(what: str) -> Unsupported:
    """A part of Docker's API that this version does not serve: named, and told apart from 404."""
    return Unsupported(f"{what} is not served by this version of moby-py's Docker API")


def message(error: MobyError) -> str:
    """The hint goes along as a second line, since Docker's clients know no field for it."""
    return f"{error.message}\nhint: {error.hint}" if error.hint else error.message
