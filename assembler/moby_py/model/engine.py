"""What an engine shows of its containers, to an API of any sort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`status` none, starting, healthy, unhealthy."""

    status: str = "none"
    failing_streak: int = 0
    log: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """`status` created, running, paused, restarting, removing, exited, dead (Docker's words).
    Times are RFC 3339 with nanoseconds; "0001-01-01T00:00:00Z" where it never happened."""

    status: str
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at: str = "0001-01-01T00:00:00Z"
    finished_at: str = "0001-01-01T00:00:00Z"
    health: Health | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container. `intent` is the create body as it was sent (Docker's ContainerCreateRequest:
    Config's fields at the top level, plus HostConfig and NetworkingConfig) with the image's
    defaults merged in; nothing a set of components made of it is in here but `network`."""

    id: str
    name: str
    created: str
    image: str
    image_id: str
    runtime: str
    path: str
    args: tuple[str, ...]
    state: ContainerState
    intent: Mapping[str, Any]
    restart_count: int = 0
    log_path: str = ""
    mounts: tuple[Mapping[str, Any], ...] = ()
    """Docker's MountPoint objects."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Docker's NetworkSettings of the present attachment."""
    exec_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    id: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecInstance:
    """One exec. `exit_code` is None until it ended."""

    id: str
    container_id: str
    running: bool
    exit_code: int | None
    pid: int
    config: Mapping[str, Any]
    """The body of POST /containers/{id}/exec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    logs: bool = False
    """Begin with what was logged so far."""
    stream: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """`since`/`until` in seconds since the epoch (0 = open); `tail` a number of lines, -1 = all."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    since: float = 0.0
    until: float = 0.0
    tail: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """`stream` 1 or 2; `time` RFC 3339 with nanoseconds; `text` ends with its newline unless the
    process wrote none (or the line was cut by the monitor: several pieces, one line)."""

    stream: int
    time: str
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    name: str
    driver: str
    mountpoint: str
    created: str
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
    status: Mapping[str, str] = field(default_factory=dict)
    """What its driver tells of it when it is inspected; empty elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """A file in a container. `mode` as stat(2)'s st_mode; `modified` in seconds since the epoch."""

    name: str
    size: int
    mode: int
    modified: float
    link_target: str = ""
