"""A container while it exists in a runtime: states, exits, streams, statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["created", "running", "paused", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """`code` 0-255 (128+N for signal N). `at` in seconds since the epoch."""

    code: int
    at: float
    oom_killed: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """What a runtime knows of one container. `exit` is set exactly when `status` is "stopped"."""

    id: str
    status: Status
    pid: int = 0
    exit: ExitStatus | None = None


class Streams(ABC):
    """One client's live view of a process's stdio; many may be open on one process at once.

    Closing it detaches: the process goes on.
    """

    @abstractmethod
    async def read(self) -> tuple[int, bytes] | None:
        """The next piece: (1 stdout | 2 stderr, bytes); None after the last byte of both.

        With a terminal all is stdout. Not reading holds the process back (no byte is dropped).
        """

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Feed stdin; waits while the process does not read. Silently nothing without a stdin."""

    @abstractmethod
    async def close_stdin(self) -> None:
        """Half-close: end of input (subject to `ContainerIO.stdin_once`); output still flows."""

    @abstractmethod
    async def close(self) -> None:
        """Detach. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """A fingerprint: who it is and what it can. `features` of the words in `kinds.runtime`."""

    name: str
    version: str
    path: str = ""
    features: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockIO:
    major: int
    minor: int
    op: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceStats:
    """Counters of one network interface, as the container sees them."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters of one container now; CPU in nanoseconds, sizes in bytes (0 = not known)."""

    cpu_total: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_per_core: tuple[int, ...] = ()
    throttled_periods: int = 0
    periods: int = 0
    throttled_time: int = 0
    memory_usage: int = 0
    memory_max: int = 0
    memory_limit: int = 0
    memory_failures: int = 0
    memory: Mapping[str, int] = field(default_factory=dict)
    """memory.stat as the kernel prints it (v1: total_inactive_file; v2: inactive_file)."""
    pids: int = 0
    pids_limit: int = 0
    io_bytes: tuple[BlockIO, ...] = ()
    io_operations: tuple[BlockIO, ...] = ()
    networks: Mapping[str, InterfaceStats] = field(default_factory=dict)
    """By interface name; filled in by the engine, not by runtimes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessTable:
    """`docker top`: titles and one row per process."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
