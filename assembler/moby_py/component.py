"""What every component is: registration as data, and what it is handed when it is constructed.

A registration is data - `kind`, `name`, `summary`, `provides`, `requires`, `needs`, and a JSON
Schema file beside the code - so that validation, wiring, `check`, `graph` and `schema` never
construct anything. A component chooses none of its directories, collaborators or binaries:
they come in its `Context`.
"""

from __future__ import annotations

import logging
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from moby_py.needs import Need

K = TypeVar("K", bound="Component")


@dataclass(frozen=True, slots=True)
class Dirs:
    """The three directories of one component. They exist, mode 0700, when it is constructed.

    state:  survives reboots           /var/lib/moby-py/NAME/KIND/ID
    run:    gone after a reboot        /run/moby-py/NAME/KIND/ID
    config: written by `build`, never at run time   OUT/etc/KIND/ID
    """

    state: Path
    run: Path
    config: Path


@dataclass(frozen=True, slots=True)
class PlatformInfo:
    """What a component may know of the platform it is part of."""

    name: str
    directory: Path
    state: Path
    run: Path
    rootless: bool = False
    """True where the daemon is root only inside its own user namespace."""
    version: str = "0.1.0"


class Wiring(Protocol):
    """The other components, typed. `wiring[Network]` is the default component of that kind."""

    def __getitem__(self, kind: type[K]) -> K: ...

    def all(self, kind: type[K]) -> Mapping[str, K]:
        """Every component of a kind by its id, the default first."""
        ...


class Hooks(Protocol):
    """Plugin hooks as typed calls: each implementation is timed, and its failure is contained."""

    async def container_spec(self, spec: Any) -> Any: ...

    def event(self, event: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a component is handed.

    `id` is its name in this platform (the blueprint's `as`, else the component's name).
    `options` has every default filled in and has passed the component's schema.
    `binaries` maps the name of each declared `Binary` need to the path found at build time.
    """

    platform: PlatformInfo
    id: str
    options: Mapping[str, Any]
    dirs: Dirs
    wiring: Wiring
    hooks: Hooks
    binaries: Mapping[str, Path] = field(default_factory=dict)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("moby_py"))


@dataclass(frozen=True, slots=True)
class Service:
    """A long-running process that a component brings (containerd, etcd, ...).

    The supervisor starts it before the component's `open`, waits until `ready` (a unix socket
    path that accepts connections) is there, restarts it with back-off, and stops it in reverse.
    """

    name: str
    argv: tuple[str, ...]
    ready: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = 10.0
    keep: bool = False
    """It outlives a killed daemon, and the next one takes it up instead of starting another (a
    resolver, a port forwarder: containers go on using them). `down` ends it, `down --keep-containers`
    does not."""


class Component(ABC):
    """One implementation of a kind. Subclass a kind of `moby_py.kinds`, not this class.

    kind:      set by the kind's class
    name:      the word in the blueprint's `use:`
    summary:   one line for `moby-py components`
    schema:    file name of the JSON Schema (draft 2020-12) beside the module that defines the class
    provides:  capabilities that others may require ("oci-mounts", "containerd")
    requires:  capabilities that some other component of the platform must provide
    needs:     what the host must have
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str] = ""
    schema: ClassVar[str] = "options.schema.json"
    provides: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[Need, ...]] = ()

    def __init__(self, context: Context) -> None:
        self.context = context
        self.options = context.options
        self.log = context.log

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:  # noqa: ARG003
        """The needs under these options; override where an option names a binary."""
        return cls.needs

    @classmethod
    def native_config(cls, options: Mapping[str, Any], platform: PlatformInfo) -> Mapping[str, str]:  # noqa: ARG003
        """Files that `build` writes into OUT/etc/KIND/ID, by relative path. Pure and deterministic."""
        return {}

    def services(self) -> Sequence[Service]:
        """Processes that must run while the platform is up; empty for most components."""
        return ()

    async def open(self) -> None:
        """Get ready to serve. Idempotent; a failed open leaves nothing behind."""

    async def close(self) -> None:
        """Release what `open` took. Idempotent; containers keep running."""
