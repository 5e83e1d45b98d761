"""The `runtime` kind: makes processes out of a container spec.

A component author writes two files::

    # moby_py_acme/__init__.py
    from moby_py import hookimpl
    from moby_py.kinds import Runtime

    class Acme(Runtime):
        name = "acme"
        summary = "runs containers with acme"
        ...

    @hookimpl
    def moby_components():
        return [Acme]

    # pyproject.toml
    [project.entry-points.moby_py]
    "runtime.acme" = "moby_py_acme"

The shape is that of Nomad's task drivers and containerd's tasks: create and start are two steps,
`recover` finds after a daemon crash what still lives, and `wait` may be called by many, any number
of times, before or after the end. Every method takes the engine's container id and raises
`NotFound` for one that it does not hold, unless it says otherwise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from moby_py.component import Component
from moby_py.model import (
    ContainerIO,
    ContainerSpec,
    ExitStatus,
    ProcessSpec,
    ProcessTable,
    Resources,
    RootFS,
    RuntimeInfo,
    Sandbox,
    Stats,
    Streams,
    TaskState,
)


class Runtime(Component):
    """Runs containers. All methods that do I/O are coroutines and may be called concurrently for
    different containers; the engine serialises the calls that change one container."""

    kind = "runtime"

    rootfs_form: ClassVar[Literal["path", "mounts", "image"]] = "path"
    """What of a `RootFS` this runtime takes: a mounted directory, mounts, or only the image."""

    features: ClassVar[frozenset[str]] = frozenset()
    """Of: pause, update, stats, exec, tty, userns, seccomp, cgroups, checkpoint, devices,
    join-namespaces, own-network-stack. What is missing is refused by the engine before this runtime
    is asked; "own-network-stack" tells that sockets and rules in the sandbox do nothing for it."""

    @abstractmethod
    async def fingerprint(self) -> RuntimeInfo:
        """Version and features as found on this host. Raises `Unavailable`: cannot run here."""

    @abstractmethod
    async def create(
        self, spec: ContainerSpec, rootfs: RootFS, sandbox: Sandbox, io: ContainerIO
    ) -> TaskState:
        """Make the container up to the point where its process waits to be started.

        Returns the state "created" with the pid of the waiting process. `attach` and `exec` of
        files work from here on. Raises `AlreadyExists` for an id it holds, `InvalidArgument` for
        a spec that cannot be, `RuntimeFailed` otherwise; a failed create leaves nothing behind.
        The texts "executable file not found", "no such file or directory" and "permission denied"
        are kept from the runtime's own words, since `docker run` chooses 126/127 by them; a
        runtime that learns them only at `start` raises them there.
        """

    @abstractmethod
    async def start(self, container_id: str) -> TaskState:
        """Let the created process go. Raises `Conflict` if it was started before."""

    @abstractmethod
    async def state(self, container_id: str) -> TaskState:
        """The state now. Cheap: no process is started for it."""

    @abstractmethod
    async def wait(self, container_id: str, exec_id: str | None = None) -> ExitStatus:
        """Return when the process has ended and its last output is in the log; at once if it has."""

    @abstractmethod
    async def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process (or to all). Idempotent on a stopped container:
        raises `Conflict` there. A paused container takes SIGKILL."""

    @abstractmethod
    async def delete(self, container_id: str) -> None:
        """Remove all that `create` made: process (killed if alive), cgroup, bundle, sockets.
        Idempotent; unknown ids are no error."""

    @abstractmethod
    async def exec(
        self, container_id: str, exec_id: str, process: ProcessSpec, io: ContainerIO, *, attach: bool
    ) -> Streams | None:
        """Run a further process. With `attach`, the streams returned miss no byte of it.
        Returns once it runs; `wait(container_id, exec_id)` gives its end."""

    async def exec_pid(self, container_id: str, exec_id: str) -> int:
        """Host pid of an exec's process; 0 where it has ended or is no process of the host."""
        return 0

    async def exec_kill(self, container_id: str, exec_id: str, signal: int) -> None:
        """Send a signal to an exec's process and to what it started in its session (a health check
        that takes too long). Nothing for one that has ended."""
        raise self._lacks("signals to an exec")

    @abstractmethod
    async def attach(self, container_id: str, exec_id: str | None = None) -> Streams:
        """A live view from now on. Between `create` and `start` it misses nothing."""

    @abstractmethod
    async def resize(self, container_id: str, height: int, width: int, exec_id: str | None = None) -> None:
        """Set the terminal's size; nothing without a terminal."""

    @abstractmethod
    async def reopen_log(self, container_id: str) -> None:
        """The log was renamed by the engine (rotation): write on into a new file of the old name."""

    @abstractmethod
    async def processes(self, container_id: str) -> Sequence[int]:
        """Host pids of all processes of the container, the first process first."""

    async def pause(self, container_id: str) -> None:
        """Freeze all processes. Feature "pause"."""
        raise self._lacks("pause")

    async def resume(self, container_id: str) -> None:
        """Thaw. Feature "pause"."""
        raise self._lacks("pause")

    async def update(self, container_id: str, resources: Resources) -> None:
        """Change limits of a live container. Feature "update"."""
        raise self._lacks("update")

    async def stats(self, container_id: str) -> Stats:
        """Counters now, read from cgroups without starting a process. Feature "stats"."""
        raise self._lacks("stats")

    async def out_of_memory(self, container_id: str) -> bool:
        """Return True when the container next runs out of its memory (a process of it is killed then);
        False at once where nobody tells, or when the container is gone. May be cancelled."""
        return False

    async def top(self, container_id: str, ps_args: str) -> ProcessTable:
        """`docker top`; the engine falls back to its own from `processes` when Unsupported."""
        raise self._lacks("top")

    @abstractmethod
    async def recover(self) -> Sequence[TaskState]:
        """After a daemon start: all containers that this runtime still holds, alive or ended,
        ready for every other method. Half-made ones are removed and not returned."""

    def _lacks(self, feature: str) -> Exception:
        from moby_py.errors import Unsupported

        return Unsupported(f"runtime {self.context.id!r} does not support {feature!r}")
