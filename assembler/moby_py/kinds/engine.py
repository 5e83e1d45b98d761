"""The `engine` kind: everything Docker calls a container, above runtime, store and network.

An engine speaks Docker's words but no HTTP: bodies come in as mappings of the Engine API's fields
(so that unknown fields of newer clients survive as intent), results go out as `moby_py.model`
values. Any number of APIs stand in front of one engine.

`ref` is a container's name, id, or an unambiguous prefix of the id; NotFound says
"No such container: REF" (the one capital letter: clients compare the text).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from moby_py.component import Component
from moby_py.model import (
    AttachOptions,
    Change,
    Container,
    Created,
    Event,
    ExecInstance,
    ImageRecord,
    LogLine,
    LogOptions,
    NetworkRecord,
    PathStat,
    ProcessTable,
    ProgressSink,
    RegistryAuth,
    RemovedImage,
    Stats,
    Streams,
    Volume,
)


class Engine(Component):
    """States and the answers in each state come from one table (`engine/moby/states.py`)."""

    kind = "engine"

    # -- life cycle ------------------------------------------------------------------------------

    @abstractmethod
    async def create(self, body: Mapping[str, Any], *, name: str = "", platform: str = "") -> Created:
        """Record the intent. Nothing runs, nothing is mounted. Raises NotFound "No such image: X"
        (clients pull and retry), AlreadyExists for the name, InvalidArgument."""

    @abstractmethod
    async def start(self, ref: str) -> None:
        """Render and run. NotModified when running already."""

    @abstractmethod
    async def stop(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None:
        """The stop signal, a grace period (default 10 s, or the container's), SIGKILL. NotModified
        when stopped already. -1 waits for ever."""

    @abstractmethod
    async def restart(self, ref: str, *, timeout: int | None = None, signal: str = "") -> None: ...

    @abstractmethod
    async def kill(self, ref: str, signal: str = "SIGKILL") -> None:
        """Conflict when not running."""

    @abstractmethod
    async def pause(self, ref: str) -> None: ...

    @abstractmethod
    async def unpause(self, ref: str) -> None: ...

    @abstractmethod
    async def remove(self, ref: str, *, force: bool = False, volumes: bool = False) -> None:
        """Conflict while running unless `force`. `volumes` takes its anonymous volumes along."""

    @abstractmethod
    async def rename(self, ref: str, name: str) -> None: ...

    @abstractmethod
    async def update(self, ref: str, body: Mapping[str, Any]) -> Sequence[str]:
        """POST /containers/{id}/update: limits and restart policy; returns warnings."""

    @abstractmethod
    async def wait(self, ref: str, condition: str = "not-running") -> tuple[int, str]:
        """(exit code, error text) once "not-running", "next-exit" or "removed" holds. The caller
        may rely on being registered before the first suspension point that lets others run."""

    # -- looking ---------------------------------------------------------------------------------

    @abstractmethod
    async def inspect(self, ref: str) -> Container: ...

    @abstractmethod
    async def list(
        self,
        *,
        all: bool = False,
        limit: int = 0,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[Container]:
        """Newest first. Filters as Docker's: id, name, label, status, ancestor, exited, ..."""

    @abstractmethod
    async def top(self, ref: str, ps_args: str = "-ef") -> ProcessTable: ...

    @abstractmethod
    async def stats(self, ref: str) -> Stats: ...

    @abstractmethod
    async def changes(self, ref: str) -> Sequence[Change]: ...

    @abstractmethod
    def logs(self, ref: str, options: LogOptions) -> AsyncIterator[LogLine]: ...

    @abstractmethod
    def events(
        self,
        *,
        since: float = 0.0,
        until: float = 0.0,
        filters: Mapping[str, Sequence[str]] | None = None,
    ) -> AsyncIterator[Event]:
        """Past events from `since` on, then live ones until `until` (0: for ever)."""

    # -- streams and execs -----------------------------------------------------------------------

    @abstractmethod
    async def attach(self, ref: str, options: AttachOptions) -> Streams:
        """Works before `start`: no byte is missed. On a stopped container the streams end at once
        unless it is started meanwhile (docker run attaches to a created container)."""

    @abstractmethod
    async def resize(self, ref: str, height: int, width: int) -> None: ...

    @abstractmethod
    async def exec_create(self, ref: str, body: Mapping[str, Any]) -> str:
        """Conflict unless running. Returns a 64-hex id."""

    @abstractmethod
    async def exec_start(self, exec_id: str, *, detach: bool, tty: bool = False) -> Streams | None: ...

    @abstractmethod
    async def exec_inspect(self, exec_id: str) -> ExecInstance: ...

    @abstractmethod
    async def exec_resize(self, exec_id: str, height: int, width: int) -> None: ...

    # -- files -----------------------------------------------------------------------------------

    @abstractmethod
    async def archive_stat(self, ref: str, path: str) -> PathStat:
        """A file of a container, running or not. Links are followed inside its root only, but for
        the last one. Raises NotFound "Could not find the file PATH in container REF"."""

    @abstractmethod
    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """The file or tree as a tar whose top entry is named as the path's last part."""

    @abstractmethod
    async def archive_put(
        self,
        ref: str,
        path: str,
        data: AsyncIterator[bytes],
        *,
        overwrite_dir_with_file: bool = True,
        keep_owners: bool = False,
    ) -> None:
        """Unpack a tar (plain, gzip, zstd, ...) below an existing directory of a container. Nothing
        outside of the container's root is ever touched, whatever the tar or the root hold. Raises
        NotFound, InvalidArgument (no directory, bad archive), PermissionDenied (read-only root)."""

    @abstractmethod
    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """The whole root filesystem as one tar, without its mounts."""

    # -- networks --------------------------------------------------------------------------------
    # `network` is an id, a name, or an unambiguous prefix of an id; NotFound "network X not found".

    @abstractmethod
    async def networks(self) -> Sequence[NetworkRecord]:
        """All, predefined first, then by name."""

    @abstractmethod
    async def network_inspect(self, network: str) -> NetworkRecord: ...

    @abstractmethod
    async def network_create(
        self,
        name: str,
        *,
        driver: str = "",
        internal: bool = False,
        attachable: bool = False,
        ipv6: bool = False,
        ipam: Mapping[str, Any] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        """Raises AlreadyExists, InvalidArgument, NotFound (driver), Conflict (overlapping pool)."""

    @abstractmethod
    async def network_remove(self, network: str) -> None:
        """Raises PermissionDenied for predefined networks, Conflict while containers are attached."""

    @abstractmethod
    async def network_connect(self, network: str, ref: str, settings: Mapping[str, Any]) -> None:
        """`settings` is Docker's EndpointSettings. A running container gets a further interface at
        once, a stopped one at its start. Raises NotFound, Conflict, InvalidArgument."""

    @abstractmethod
    async def network_disconnect(self, network: str, ref: str, *, force: bool = False) -> None:
        """The interface goes. Raises NotFound, Conflict (the only network of its mode "host")."""

    # -- images: the store, plus events and the question what is in use ------------------------------

    @abstractmethod
    async def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: ProgressSink | None = None,
    ) -> ImageRecord: ...

    @abstractmethod
    async def remove_image(self, ref: str, *, force: bool = False) -> RemovedImage: ...

    @abstractmethod
    async def commit(
        self,
        ref: str,
        *,
        reference: str = "",
        author: str = "",
        message: str = "",
        config: Mapping[str, Any] | None = None,
        pause: bool = True,
    ) -> ImageRecord: ...

    @abstractmethod
    async def collect(self) -> Mapping[str, int]:
        """Garbage collection over store, networks, run-time directories; counts by kind."""

    # -- volumes ---------------------------------------------------------------------------------

    @abstractmethod
    async def volume_create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """An existing name is returned as it is (Docker's rule)."""

    @abstractmethod
    async def volumes(self) -> Sequence[Volume]: ...

    @abstractmethod
    async def volume_inspect(self, name: str) -> Volume: ...

    @abstractmethod
    async def volume_remove(self, name: str, *, force: bool = False) -> None:
        """Conflict while a container uses it."""

    @abstractmethod
    async def volume_usage(self, name: str) -> int:
        """Bytes; -1 where the driver cannot tell."""

    @abstractmethod
    async def volume_export(self, name: str) -> AsyncIterator[bytes]:
        """Its data as a tar (owners, modes, times, links, extended attributes)."""

    @abstractmethod
    async def volume_import(self, name: str, data: AsyncIterator[bytes]) -> Volume:
        """Make the volume, or fill an empty one, from a tar as `volume_export` gives it. All or
        nothing. Raises Conflict for a volume that holds data, InvalidArgument (bad archive)."""

    @abstractmethod
    async def volume_clone(self, source: str, name: str) -> Volume:
        """A new volume of the same driver, options and labels with a copy of the data."""

    # -- the platform ----------------------------------------------------------------------------

    @abstractmethod
    async def info(self) -> Mapping[str, Any]:
        """Facts of GET /info that only the engine knows: counts, runtimes, default runtime,
        driver, cgroup version and driver, kernel, warnings. In the API's field names."""

    @abstractmethod
    def emit(self, type: str, action: str, actor: str, attributes: Mapping[str, str]) -> Event:
        """Record an event and tell listeners (an API uses it for what it does itself)."""

    async def shutdown(self) -> None:
        """The platform goes down: stop all running containers at once, each with its own grace,
        without touching restart policies (`always` and `unless-stopped` run again after `up`)."""
