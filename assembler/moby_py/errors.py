"""The exception tree. Everything a user can cause is a `MobyError`; anything else is our bug.

    MobyError                     one line for the user: what - why - way out
    ├── BlueprintError            the blueprint (or the command line) is wrong; carries all problems
    ├── HostError                 this host lacks something (exit status 3)
    ├── PluginError               a plugin is broken: named with its distribution
    ├── NotFound                  no such container, image, network, ...        HTTP 404
    ├── AlreadyExists             the name is taken                             HTTP 409
    ├── Conflict                  right request, wrong state                    HTTP 409
    ├── NotModified               already in the wanted state                   HTTP 304
    ├── InvalidArgument           the request cannot be meant                   HTTP 400
    ├── PermissionDenied          refused by a registry, a policy or a hook     HTTP 403
    ├── Unsupported               this component does not do that               HTTP 501
    ├── Unavailable               cannot run here or now; says why              HTTP 503
    ├── DataError                 bytes are not what their digest or format say HTTP 500
    └── RuntimeFailed             an OCI runtime or monitor said no             HTTP 500

Messages are lower-case, one sentence, without a full stop: *what - why*; the way out is the `hint`.
Two consumers decide what to do with them, and nobody else: `moby_py.cli.main` (exit status, stderr)
and `api/docker` (HTTP status, JSON).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from moby_py.problems import Problem


class MobyError(Exception):
    """A user's mistake or a host's refusal, told in one line.

    `message` is *what - why*; `hint` the way out, an imperative sentence or a command to type.
    """

    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BlueprintError(MobyError):
    """The blueprint cannot be built. `problems` holds every one of them, in file order."""

    exit_status = 2
    http_status = 400

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in the blueprint")


class HostError(MobyError):
    """The host lacks a binary, a privilege or a kernel feature that the blueprint needs."""

    exit_status = 3


class PluginError(MobyError):
    """A plugin does not load, or one of its hooks failed; the message names its distribution."""


class NotFound(MobyError):
    http_status = 404


class AlreadyExists(MobyError):
    http_status = 409


class Conflict(MobyError):
    http_status = 409


class NotModified(MobyError):
    http_status = 304


class InvalidArgument(MobyError):
    exit_status = 2
    http_status = 400


class PermissionDenied(MobyError):
    http_status = 403


class Unsupported(MobyError):
    http_status = 501


class Unavailable(MobyError):
    """A component that cannot run here. Listed as `unavailable: why`, never a crash."""

    exit_status = 3
    http_status = 503


class DataError(MobyError):
    """A digest, size or format check failed. Whatever was half-written is already gone."""


class RuntimeFailed(MobyError):
    """The runtime or its monitor refused. The message ends with the runtime's own last words."""
