"""Real containers of one runtime: a room, a busybox root, and a look for leftovers afterwards."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from moby_components.common.monitor import Identity
from moby_components.common.ociruntime import OciRuntime
from moby_components.runtime.crun import Crun
from moby_components.runtime.runc import Runc
from moby_components.runtime.runsc import Runsc
from moby_py.model import ContainerIO, ContainerSpec, ProcessSpec, RootFS, Sandbox, Streams
from moby_py.testing.room import make_context

RUNTIMES = {"runc": Runc, "crun": Crun, "runsc": Runsc}
_APPLETS = """
    sh cat echo sleep ls id true false kill head wc env pwd mount stat tr grep dd seq touch stty
"""
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"


def binaries_of(cls: type[OciRuntime]) -> dict[str, Path]:
    found = {}
    for name in (cls.binary, "conmon"):
        path = shutil.which(name, path=PATH)
        if path is None:
            pytest.skip(f"needs {name} (apt-get install {name})")
        found[name] = Path(path)
    return found


async def output_of(streams: Streams) -> tuple[bytes, bytes]:
    """(stdout, stderr) until the end."""
    both = {1: bytearray(), 2: bytearray()}
    while (piece := await streams.read()) is not None:
        both[piece[0]] += piece[1]
    await streams.close()
    return bytes(both[1]), bytes(both[2])


class House:
    """One runtime in one room. `play` runs a container from create to delete."""

    def __init__(self, runtime: OciRuntime, root: Path, log: Path) -> None:
        self.runtime = runtime
        self.rootfs = RootFS(image="busybox", path=str(root))
        self.log = log
        self.ids: list[str] = []

    def spec(self, *args: str, process: dict[str, Any] | None = None, **changes: Any) -> ContainerSpec:
        id = secrets.token_hex(32)
        self.ids.append(id)
        wanted: dict[str, Any] = {"args": args, "env": ("PATH=/bin", "WORD=yes"), **(process or {})}
        return ContainerSpec(
            id=id, name=id[:8], image="busybox", image_id="sha256:0", process=ProcessSpec(**wanted), **changes
        )

    async def up(self, spec: ContainerSpec, **io: Any) -> Streams:
        """Create, attach, start."""
        await self.runtime.create(
            spec, self.rootfs, Sandbox(mode="empty"), ContainerIO(log=str(self.log), **io)
        )
        streams = await self.runtime.attach(spec.id)
        try:
            await self.runtime.start(spec.id)
        except BaseException:
            await streams.close()
            raise
        return streams

    async def play(self, spec: ContainerSpec, **io: Any) -> tuple[bytes, bytes, int]:
        out, err = await output_of(await self.up(spec, **io))
        status = await self.runtime.wait(spec.id)
        await self.runtime.delete(spec.id)
        return out, err, status.code


@pytest.fixture(params=sorted(RUNTIMES))
def runtime_class(request: pytest.FixtureRequest) -> type[OciRuntime]:
    return RUNTIMES[request.param]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    busybox = shutil.which("busybox", path=PATH)
    if busybox is None:
        pytest.skip("needs busybox (apt-get install busybox-static)")
    root = tmp_path / "rootfs"
    for folder in ("bin", "proc", "dev", "sys", "tmp", "etc", "data"):
        (root / folder).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in _APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nuser:x:1234:1235::/home/user:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1235:\nextra:x:77:user\n")
    return root


@pytest.fixture
def house(
    tmp_path: Path, root: Path, runtime_class: type[OciRuntime]
) -> Iterator[Callable[[Callable[[House], Coroutine[Any, Any, Any]]], Any]]:
    """`house(work)` runs `await work(House)`; afterwards nothing may be left."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    context = make_context(runtime_class, tmp_path, binaries=binaries_of(runtime_class))

    async def whole(work: Callable[[House], Coroutine[Any, Any, Any]]) -> Any:
        runtime = runtime_class(context)
        await runtime.open()
        try:
            home = House(runtime, root, tmp_path / "log")
            homes.append(home)
            return await asyncio.wait_for(work(home), 60)
        finally:
            for state in await runtime.recover():
                await runtime.delete(state.id)
            await runtime.close()

    homes: list[House] = []
    yield lambda work: asyncio.run(whole(work))
    assert leftovers(context.dirs.run, context.platform.name, [id for home in homes for id in home.ids]) == []


def leftovers(run: Path, platform: str, ids: list[str]) -> list[str]:
    """Whatever a runtime left: files, cgroups, mounts, processes."""
    found = [str(path) for path in run.rglob("*") if path != run / ".root"]
    found += [str(path) for id in ids for path in Path("/sys/fs/cgroup").glob(f"*/moby-py/{platform}/{id}")]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [line for line in mounts if str(run.parents[2]) in line]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            who = Identity.of(int(entry.name))
            if str(run).encode() in command and who and who.runs() and who.pid != os.getpid():
                found.append(command.decode(errors="replace"))
    return found
