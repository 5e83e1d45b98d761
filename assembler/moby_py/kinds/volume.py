"""The `volume` kind: where the data of named volumes lies.

    class Local(VolumeDriver):              docker volume create -d local -o type=tmpfs -o device=tmpfs data
        name = "local"                        check(options), create(volume)
                                            docker run -v data:/var/lib/data
                                              mount(volume, container) -> a path of the host, to be bound

The records (name, driver, options, labels) are the engine's; a driver is asked by the `Volume` itself
and needs no database. The driver word of Docker's `-d` is the component's id in the platform; "local",
which clients say when their user said nothing, means the first volume component where none has that id.

The engine calls `create` before it records a volume, and again before each `mount`: what a kill or a
restored state lost is made up for there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from moby_py.component import Component
from moby_py.model import Volume

STAGING = "staging"
"""The user of a volume while `fill` works in it."""


class VolumeDriver(Component):
    """All methods may be called concurrently, but never two at once for one volume."""

    kind = "volume"

    @abstractmethod
    def check(self, name: str, options: Mapping[str, str]) -> None:
        """Raises InvalidArgument for options that `create` would refuse. No side effect."""

    @abstractmethod
    def mountpoint(self, volume: Volume) -> str:
        """The path that inspect shows; it need not exist while nobody has it mounted."""

    @abstractmethod
    async def create(self, volume: Volume) -> None:
        """Make room for it. Idempotent; a failed create leaves nothing behind."""

    @abstractmethod
    async def mount(self, volume: Volume, user: str) -> Path:
        """The folder with its data, ready to be bound. `user` is a container id (or a word for the
        engine's own work); idempotent for the same user."""

    @abstractmethod
    async def unmount(self, volume: Volume, user: str) -> None:
        """`user` does not need it any more. Idempotent, also for users it does not know."""

    @abstractmethod
    async def remove(self, volume: Volume) -> None:
        """Delete the data. Idempotent."""

    async def fill(self, volume: Volume, work: Callable[[Path], Awaitable[None]]) -> None:
        """Give an empty volume all its data at once (`volume import`, `volume clone`): `work` fills an
        empty folder, which becomes the volume's data when it returns; when it raises, the volume stays
        empty. Nobody has the volume mounted. Raises Conflict for one that holds data.

        This one moves the data up from a folder within the volume. Override it where something better
        is at hand, such as one rename."""
        from moby_py.staging import fill_within

        folder = await self.mount(volume, STAGING)
        try:
            await fill_within(folder, work)
        finally:
            await self.unmount(volume, STAGING)

    async def status(self, volume: Volume) -> Mapping[str, str]:
        """What inspect shows as Status: a server's health, a quota, ..."""
        return {}

    async def usage(self, volume: Volume) -> int:
        """Bytes on disk; -1 where nobody can tell."""
        return -1

    async def recover(self, in_use: Mapping[str, Sequence[str]], volumes: Sequence[Volume]) -> None:
        """After a start of the daemon: volume name -> ids of the containers that live on with it. Release
        what belongs to nobody, also what a killed create or remove left."""
