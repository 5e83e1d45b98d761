"""The states of a container, and what each request does in each of them: one table.

Read it by line: in state `paused`, `start` is a conflict with that text. `GO` means the request is
carried out. `NEXT` says where what happens to a container leads; anything else cannot happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from moby_py.errors import Conflict, MobyError, NotModified

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
Request = Literal[
    "start", "stop", "kill", "pause", "unpause", "remove", "force-remove", "attach", "exec", "resize",
    "top", "stats", "rename", "update", "commit",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not now: the error and its text, in Docker's words, since clients compare them."""

    error: type[MobyError]
    text: str


GO = None
_NOT_RUNNING = Refusal(Conflict, "container {id} is not running")
_NOT_PAUSED = Refusal(Conflict, "container {id} is not paused")
_RESTARTING = Refusal(Conflict, "container {id} is restarting, wait until the container is running")
_GOING = Refusal(Conflict, "removal of container {id} is already in progress")
_MARKED = Refusal(Conflict, "container is marked for removal and cannot be {request}")
_RUNS = Refusal(NotModified, "container {id} is already started")
_STOPPED = Refusal(NotModified, "container {id} is already stopped")
_CANNOT_KILL = Refusal(Conflict, "cannot kill container: {name}: container {id} is not running")
_REMOVE_RUNNING = Refusal(
    Conflict,
    'cannot remove container "/{name}": container is {status}: '
    "stop the container before removing or force remove",
)
_REMOVE_PAUSED = Refusal(
    Conflict, 'cannot remove container "/{name}": container is paused and must be unpaused first'
)
_START_PAUSED = Refusal(Conflict, "cannot start a paused container, try unpause instead")
_PAUSED_ALREADY = Refusal(Conflict, "container {id} is already paused")
_EXEC_PAUSED = Refusal(Conflict, "container {id} is paused, unpause the container before exec")
_ATTACH_PAUSED = Refusal(Conflict, "container {id} is paused, unpause the container before attach")

_IDLE: dict[Request, Refusal | None] = {
    "start": GO,
    "stop": _STOPPED,
    "kill": _CANNOT_KILL,
    "pause": _NOT_RUNNING,
    "unpause": _NOT_PAUSED,
    "remove": GO,
    "force-remove": GO,
    "attach": GO,
    "exec": _NOT_RUNNING,
    "resize": _NOT_RUNNING,
    "top": _NOT_RUNNING,
    "stats": GO,
    "rename": GO,
    "update": GO,
    "commit": GO,
}
_LEAVING: dict[Request, Refusal | None] = {
    **_IDLE,
    "start": _MARKED,
    "remove": _GOING,
    "force-remove": _GOING,
    "attach": _MARKED,
    "rename": _MARKED,
    "update": _MARKED,
    "commit": _MARKED,
}
ANSWERS: dict[Status, dict[Request, Refusal | None]] = {
    "created": _IDLE,
    "exited": _IDLE,
    "running": {
        "start": _RUNS,
        "stop": GO,
        "kill": GO,
        "pause": GO,
        "unpause": _NOT_PAUSED,
        "remove": _REMOVE_RUNNING,
        "force-remove": GO,
        "attach": GO,
        "exec": GO,
        "resize": GO,
        "top": GO,
        "stats": GO,
        "rename": GO,
        "update": GO,
        "commit": GO,
    },
    "paused": {
        "start": _START_PAUSED,
        "stop": GO,
        "kill": GO,
        "pause": _PAUSED_ALREADY,
        "unpause": GO,
        "remove": _REMOVE_PAUSED,
        "force-remove": GO,
        "attach": _ATTACH_PAUSED,
        "exec": _EXEC_PAUSED,
        "resize": GO,
        "top": GO,
        "stats": GO,
        "rename": GO,
        "update": GO,
        "commit": GO,
    },
    "restarting": {
        "start": _RUNS,
        "stop": GO,
        "kill": _RESTARTING,
        "pause": _RESTARTING,
        "unpause": _NOT_PAUSED,
        "remove": _REMOVE_RUNNING,
        "force-remove": GO,
        "attach": _RESTARTING,
        "exec": _RESTARTING,
        "resize": _RESTARTING,
        "top": _RESTARTING,
        "stats": GO,
        "rename": GO,
        "update": GO,
        "commit": GO,
    },
    "removing": _LEAVING,
    "dead": {**_LEAVING, "remove": GO, "force-remove": GO},
}

Happening = Literal[
    "started", "ended", "ended-restart", "start-failed", "paused", "resumed", "cancelled", "removal", "failed"
]
NEXT: dict[tuple[Status, Happening], Status] = {
    ("created", "started"): "running",
    ("exited", "started"): "running",
    ("restarting", "started"): "running",
    ("created", "ended"): "exited",  # it never ran: its start failed
    ("exited", "ended"): "exited",
    ("exited", "start-failed"): "restarting",  # of a policy; it is tried again
    ("running", "ended"): "exited",
    ("running", "ended-restart"): "restarting",
    ("paused", "ended"): "exited",
    ("paused", "ended-restart"): "restarting",
    ("restarting", "ended"): "exited",
    ("restarting", "ended-restart"): "restarting",
    ("running", "paused"): "paused",
    ("paused", "resumed"): "running",
    ("restarting", "cancelled"): "exited",
    ("created", "removal"): "removing",
    ("exited", "removal"): "removing",
    ("dead", "removal"): "removing",
    ("removing", "removal"): "removing",
    ("removing", "failed"): "dead",
}

LIVE: frozenset[Status] = frozenset({"running", "paused"})
"""A process exists."""
ACTIVE: frozenset[Status] = LIVE | {"restarting"}
"""What `docker ps` shows, and what `wait` waits for."""


def check(status: Status, request: Request, *, id: str, name: str) -> None:
    """Raise the table's refusal, if it has one."""
    refusal = ANSWERS[status][request]
    if refusal is not None:
        done = "started" if request == "start" else request
        raise refusal.error(refusal.text.format(id=id, name=name, status=status, request=done))


def after(status: Status, happening: Happening) -> Status:
    """The state that follows. A KeyError is a bug of ours."""
    return NEXT[status, happening]
