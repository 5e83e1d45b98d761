"""Starting a process under conmon: it daemonises, calls the runtime, and reports over a pipe.

conmon reads three pipes from its environment: on _OCI_SYNCPIPE it writes one JSON line, the pid or
the runtime's error; on _OCI_ATTACHPIPE (exec with attach) a line once its socket listens; on
_OCI_STARTPIPE it waits for a byte before it begins and, with attach, for another before it execs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_components.common.monitor import AttachStreams, TaskDir, connect
from moby_components.common.processes import Child, clean_environment
from moby_py.errors import RuntimeFailed
from moby_py.model import ContainerIO

START_TIMEOUT = 120.0
"""Seconds until a runtime must have made a container or an exec."""

_LARGEST_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class Started:
    """`pid` on the host; 0 where `error` says what the runtime said."""

    pid: int
    error: str = ""
    streams: AttachStreams | None = None


def arguments(conmon: Path, program: Path, where: TaskDir, io: ContainerIO, tty: bool) -> list[str]:
    """conmon's arguments that containers and execs have in common."""
    argv = [str(conmon), "--api-version", "-c", where.name, "-u", where.path.name, "-n", where.name]
    argv += ["-r", str(program), "-b", str(where.path), "--full-attach"]
    argv += ["-p", str(where.pidfile), "-P", str(where.monitor_pidfile), "--exit-dir", str(where.exit_dir)]
    argv += ["-l", f"k8s-file:{io.log}" if io.log else "none", "--no-sync-log"]
    if tty:
        argv.append("-t")
    if io.stdin:
        argv.append("-i")
        # A terminal's input never ends with a client, or nobody could type after a detach.
        if tty or not io.stdin_once:
            argv.append("--leave-stdin-open")
    return argv


async def launch(
    argv: Sequence[str], where: TaskDir, *, attach: bool = False, stdin: bool = False
) -> Started:
    """Start conmon and return what it reports. Its own failure is a `RuntimeFailed`.

    With `attach` (exec only) the streams are connected before the process runs.
    """
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        sync, sync_end = _pipe(ours, theirs)
        env = {"_OCI_SYNCPIPE": str(sync_end)}
        fds = [sync_end]
        if attach:
            attached, attached_end = _pipe(ours, theirs)
            start_end, start = _pipe(theirs, ours)
            env |= {"_OCI_ATTACHPIPE": str(attached_end), "_OCI_STARTPIPE": str(start_end)}
            fds += [attached_end, start_end]
            os.write(start, b"1")
        # In its directory: conmon leaves the marker of an oom kill in the working directory.
        child = Child(argv, env=clean_environment(env), cwd=where.path, pass_fds=fds)
        theirs.close()
        streams = None
        try:
            async with asyncio.timeout(START_TIMEOUT):
                finished = await child.wait()
                if finished.code != 0:
                    raise RuntimeFailed(f"cannot start the monitor - {finished.words or 'conmon failed'}")
                if attach and await _line(attached):
                    streams = await connect(where.path, stdin=stdin)
                    os.write(start, b"1")
                report = _report(await _line(sync))
            pid = report.get("data")
            if isinstance(pid, int) and pid > 0:
                return Started(pid, streams=streams)
            if streams is not None:
                await streams.close()
            return Started(0, error=str(report.get("message", "")))
        except BaseException as error:
            if streams is not None:
                await streams.close()
            if isinstance(error, TimeoutError):
                raise RuntimeFailed(f"the runtime gave no answer within {START_TIMEOUT:g} s") from error
            raise


def _report(line: bytes) -> dict[str, Any]:
    """conmon's line; an empty dict where it closed the pipe without one."""
    try:
        report = json.loads(line)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe2(os.O_CLOEXEC)
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


async def _line(fd: int) -> bytes:
    """Up to the first newline, or the end, of a pipe."""
    os.set_blocking(fd, False)
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < _LARGEST_LINE:
            await ready.wait()
            ready.clear()
            try:
                piece = os.read(fd, _LARGEST_LINE)
            except BlockingIOError:
                continue
            if not piece:
                break
            line += piece
    finally:
        loop.remove_reader(fd)
    return line.partition(b"\n")[0]
