"""A daemon to kill: an engine on real runc in a process of its own. Run as `engine_daemon.py ROOT`.

It starts what the lines on its stdin say (a JSON create body each), prints each id, and lives on.
"""

# ruff: noqa: E402 - the path first: this file is run by itself
from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from engine_doubles import FolderStore

from moby_components.engine.moby import Moby
from moby_components.network.none import NoNetwork
from moby_components.runtime.runc import Runc
from moby_components.volume.local.component import Local
from moby_py.assembled import Assembled
from support.context import make_context

APPLETS = (
    "sh",
    "cat",
    "echo",
    "sleep",
    "ls",
    "id",
    "true",
    "false",
    "env",
    "hostname",
    "seq",
    "dd",
    "wc",
    "kill",
)
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def busybox_root(base: Path) -> None:
    if base.exists():
        return
    (base / "bin").mkdir(parents=True)
    (base / "etc").mkdir()
    shutil.copy(shutil.which("busybox", path=PATH) or "", base / "bin/busybox")
    for name in APPLETS:
        (base / "bin" / name).symlink_to("busybox")
    (base / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:33:34::/:/bin/sh\n")
    (base / "etc/group").write_text("root:x:0:\nweb:x:34:\n")


async def opened(root: Path) -> tuple[Moby, Runc, FolderStore]:
    """The engine on runc; the same again after a kill."""
    busybox_root(root / "base")
    binaries = {name: Path(shutil.which(name, path=PATH) or name) for name in ("runc", "conmon")}
    wiring = Assembled()
    runtime = Runc(make_context(Runc, root, binaries=binaries))
    store = FolderStore(make_context(FolderStore, root))
    store.add("docker.io/library/busybox:latest", root / "base", Cmd=["true"])
    network = NoNetwork(make_context(NoNetwork, root))
    volumes = Local(make_context(Local, root))
    await volumes.open()
    await runtime.open()
    for kind, component in (
        ("runtime", runtime),
        ("image_store", store),
        ("network", network),
        ("volume", volumes),
    ):
        wiring.add(kind, component.name, component)
    engine = Moby(make_context(Moby, root, wiring=wiring))
    await engine.open()
    return engine, runtime, store


async def main(root: Path) -> None:
    engine, _, _ = await opened(root)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        body: dict[str, Any] = json.loads(line)
        made = await engine.create({"Image": "busybox", **body}, name=body.get("Name", ""))
        if body.get("Start", True):
            await engine.start(made.id)
        print(made.id, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
