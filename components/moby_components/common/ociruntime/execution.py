"""exec: a further process in a running container, under a conmon of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.monitor import AttachStreams, TaskDir
from moby_components.common.ociruntime import conmon
from moby_components.common.ociruntime.cli import Cli, failure
from moby_components.common.ociruntime.creation import write_private
from moby_py.errors import AlreadyExists
from moby_py.model import ContainerIO


async def execute(
    where: TaskDir,
    process: Mapping[str, Any],
    io: ContainerIO,
    *,
    program: Path,
    cli: Cli,
    more: Sequence[str],
    attach: bool,
) -> AttachStreams | None:
    """Run `process` (a process.json) in the container; `where` is the new exec's directory.

    Raises `AlreadyExists` for an exec id in use, `RuntimeFailed` otherwise; nothing is left then.
    """
    where.path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        where.make()
    except FileExistsError as error:
        raise AlreadyExists(f"exec {where.path.name} exists already") from error
    streams = None
    try:
        spec, log = where.path / "process.json", where.path / "runtime.log"
        write_private(spec, process)
        argv = conmon.arguments(program, cli.program, where, io, process["terminal"])
        argv += ["--exec", "--exec-process-spec", str(spec), *(["--exec-attach"] if attach else [])]
        argv += [f"--runtime-arg={argument}" for argument in cli.arguments(log, more)]
        started = await conmon.launch(argv, where, attach=attach, stdin=io.stdin)
        streams = started.streams
        if not started.pid:
            raise failure("cannot exec in the container", log, started.error, process["args"][0])
        where.commit(stdin=io.stdin, tty=process["terminal"])
    except BaseException:
        if streams is not None:
            await streams.close()
        shutil.rmtree(where.path, ignore_errors=True)
        raise
    return streams
