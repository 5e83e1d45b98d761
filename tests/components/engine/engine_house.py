"""An engine with its collaborators around it, on real directories, cleaned up whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine_doubles import FolderStore, HostRuntime

from moby_components.common import mounts
from moby_components.engine.moby import Moby
from moby_components.network.none import NoNetwork
from moby_components.volume.local.component import Local
from moby_py.assembled import Assembled
from moby_py.kinds import Network, Secrets
from moby_py.model import AttachOptions, Event
from support.context import make_context


@dataclass
class House:
    engine: Moby
    runtime: HostRuntime
    store: FolderStore
    wiring: Assembled
    root: Path
    events: list[Event] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.engine.context.dirs.run

    async def create(
        self, *cmd: str, name: str = "", host: Mapping[str, Any] | None = None, **body: Any
    ) -> str:
        made = await self.engine.create(
            {"Image": "busybox", "Cmd": list(cmd), "HostConfig": dict(host or {}), **body}, name=name
        )
        return made.id

    async def launch(self, *cmd: str, name: str = "", **body: Any) -> str:
        id = await self.create(*cmd, name=name, **body)
        await self.engine.start(id)
        return id

    async def output(self, id: str) -> tuple[bytes, bytes]:
        """Attach, start, read to the end: what `docker run` does."""
        streams = await self.engine.attach(id, AttachOptions())
        await self.engine.start(id)
        found = await drain(streams)
        await self.engine.wait(id)
        return found

    async def status(self, ref: str) -> str:
        return (await self.engine.inspect(ref)).state.status

    async def happened(self, ref: str, **filters: Sequence[str]) -> list[str]:
        found = self.engine.events(since=1, until=4e9, filters={"container": [ref], **filters})
        actions = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                async for event in found:
                    actions.append(event.action)
        return actions

    async def reopened(self) -> Moby:
        """The engine again, as after a kill of the daemon: same directories, same collaborators."""
        engine = Moby(self.engine.context)
        await engine.open()
        return engine

    async def crash(self) -> None:
        """Forget everything at once, as SIGKILL does: no cleaning up, no last words."""
        core = self.engine._core
        core.db.close()
        for task in list(core._tasks):
            task.remove_done_callback(core._finished)
            task.cancel()
        await asyncio.sleep(0)
        self.engine._core_if_open = None


async def drain(streams: Any) -> tuple[bytes, bytes]:
    out: dict[int, bytes] = {1: b"", 2: b""}
    while (piece := await streams.read()) is not None:
        out[piece[0]] += piece[1]
    await streams.close()
    return out[1], out[2]


@contextlib.asynccontextmanager
async def house(
    root: Path,
    *,
    secrets: Secrets | None = None,
    hooks: Any = None,
    options: Mapping[str, Any] | None = None,
    networks: Sequence[Network] = (),
    runtime: type[HostRuntime] = HostRuntime,
) -> AsyncIterator[House]:
    """`networks` are the network components in their order; "none" where there are none."""
    wiring = Assembled()
    runner = runtime(make_context(runtime, root))
    store = FolderStore(make_context(FolderStore, root))
    found = networks or (NoNetwork(make_context(NoNetwork, root)),)
    volumes = Local(make_context(Local, root))
    await volumes.open()
    base = root / "base"
    for folder in ("bin", "etc", "data"):
        (base / folder).mkdir(parents=True)
    (base / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n")
    (base / "data/seed").write_text("from the image")
    store.add("docker.io/library/busybox:latest", base, Env=["FROM=image"], Cmd=["true"])
    for component in (runner, store, *found, volumes):
        wiring.add(component.kind, component.context.id, component)
    if secrets is not None:
        wiring.add("secrets", secrets.name, secrets)
    engine = Moby(make_context(Moby, root, wiring=wiring, hooks=hooks, options=options))
    await engine.open()
    made = House(engine, runner, store, wiring, root)
    try:
        yield made
    finally:
        await made.engine.close()
        await runner.close()
        mounts.umount_all(root)


def run(work: Callable[[], Awaitable[None]], *, limit: float = 20) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(limit):
            await work()

    asyncio.run(bounded())


async def until(check: Callable[[], Awaitable[bool]] | Callable[[], bool], limit: float = 5) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(limit):
        while True:
            result = check()
            if await result if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)
