"""Where the engine keeps what. Of each container: STATE/containers/ID (its log), RUN/.../ID (the rest)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moby_py.component import Dirs

_PER_CONTAINER = ("rootfs", "files", "secrets", "shm", "netns", "stage")


@dataclass(frozen=True, slots=True)
class Layout:
    """`run` is short on purpose: mount points and sockets live there."""

    state: Path
    run: Path

    @classmethod
    def of(cls, dirs: Dirs) -> Layout:
        return cls(dirs.state, dirs.run)

    @property
    def database(self) -> Path:
        return self.state / "engine.db"

    @property
    def containers(self) -> Path:
        return self.state / "containers"

    def log(self, id: str) -> Path:
        return self.containers / id / f"{id}-json.log"

    def rootfs(self, id: str) -> Path:
        """Where the container's root is mounted."""
        return self.run / "rootfs" / id

    def files(self, id: str) -> Path:
        """/etc/hosts and its like."""
        return self.run / "files" / id

    def secrets(self, id: str) -> Path:
        return self.run / "secrets" / id

    def shm(self, id: str) -> Path:
        """A shareable /dev/shm."""
        return self.run / "shm" / id

    def netns(self, id: str) -> Path:
        return self.run / "netns" / id

    def stage(self, id: str) -> Path:
        """What it binds, held fast until the runtime has made its own mounts."""
        return self.run / "stage" / id

    def make(self) -> None:
        """The folders themselves, mode 0700."""
        for path in (
            self.containers,
            *(self.run / name for name in _PER_CONTAINER),
        ):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def per_container(self) -> tuple[Path, ...]:
        """Folders of RUN with one name per container: what is in them without a live one is an orphan."""
        return tuple(self.run / name for name in _PER_CONTAINER)
