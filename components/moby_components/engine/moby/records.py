"""What the engine remembers of one container: the intent as it came, and where its life stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from moby_components.engine.moby.clock import NEVER
from moby_components.engine.moby.states import ACTIVE, LIVE, Status
from moby_py.model import Container, ContainerState, Health


@dataclass(slots=True, kw_only=True)
class Record:
    """Mutable, and saved whole with each change. Nothing in it is a rendering but `network`, which
    clients want to see, and nothing in it is ever a secret's value."""

    id: str
    name: str
    created_ns: int
    created: str
    image: str
    image_id: str
    intent: dict[str, Any]
    path: str
    args: list[str]
    mounts: list[dict[str, Any]] = field(default_factory=list)
    """MountPoint objects as inspect shows them; `Name` of volumes is how "in use" is known."""
    plans: list[dict[str, Any]] = field(default_factory=list)
    """MountPlans as data, VolumesFrom and the names of anonymous volumes resolved."""
    volumes: list[str] = field(default_factory=list)
    """Anonymous volumes that this container brought into being."""

    status: Status = "created"
    starting: bool = False
    """A start is under way. Found true at open: the daemon died in the middle of it."""
    runtime: str = ""
    """Id of the runtime that last ran it."""
    pid: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    started_at: str = NEVER
    finished_at: str = NEVER
    restart_count: int = 0
    back_off: float = 0.0
    """Seconds that the last restart waited for; the next one waits twice as long."""
    ending: list[Any] = field(default_factory=list)
    """[code, nanoseconds, oom killed, error] while the end of a run is being cleaned up."""
    stopped_by_user: bool = False
    """`stop` or `kill` asked for its end: restart policies hold still until the next start."""
    resume: bool = False
    """It ran when the platform went down: `unless-stopped` starts it again."""
    started_before: bool = False
    network: dict[str, Any] = field(default_factory=dict)
    endpoints: list[dict[str, Any]] | None = None
    """Networks it is to be on: the create body's, as connect and disconnect have changed them."""
    attachments: list[dict[str, Any]] = field(default_factory=list)
    """{"network_id", "name", "request", "attachment"} of networks joined by the present run; the
    attachment is None while an attach is under way."""
    health: dict[str, Any] | None = None

    @property
    def live(self) -> bool:
        return self.status in LIVE

    @property
    def active(self) -> bool:
        return self.status in ACTIVE

    @property
    def host(self) -> Mapping[str, Any]:
        """HostConfig of the intent."""
        found: Mapping[str, Any] = self.intent.get("HostConfig") or {}
        return found

    @property
    def tty(self) -> bool:
        return bool(self.intent.get("Tty"))

    @property
    def auto_remove(self) -> bool:
        return bool(self.host.get("AutoRemove"))

    @property
    def labels(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self.intent.get("Labels") or {}
        return found

    def state(self) -> dict[str, Any]:
        """All but the intent, for the database."""
        return {name: getattr(self, name) for name in _STATE}

    def attributes(self) -> dict[str, str]:
        """What each of its events carries: labels, image, name."""
        return {**self.labels, "image": self.image, "name": self.name}

    def shown(self, *, log_path: str, exec_ids: tuple[str, ...]) -> Container:
        """As the contract shows it. The intent is copied: callers cannot reach ours."""
        health = self.health
        return Container(
            id=self.id,
            name=self.name,
            created=self.created,
            image=self.image,
            image_id=self.image_id,
            runtime=self.runtime,
            path=self.path,
            args=tuple(self.args),
            state=ContainerState(
                status=self.status,
                pid=self.pid if self.live else 0,
                exit_code=self.exit_code,
                oom_killed=self.oom_killed,
                error=self.error,
                started_at=self.started_at,
                finished_at=self.finished_at,
                health=Health(
                    status=health["status"], failing_streak=health["streak"], log=tuple(health["log"])
                )
                if health
                else None,
            ),
            intent=dict(self.intent),
            restart_count=self.restart_count,
            log_path=log_path,
            mounts=tuple(dict(m) for m in self.mounts),
            network=dict(self.network),
            exec_ids=exec_ids,
        )


_OWN_COLUMNS = ("id", "name", "created_ns", "intent")
_STATE = tuple(f.name for f in fields(Record) if f.name not in _OWN_COLUMNS)
