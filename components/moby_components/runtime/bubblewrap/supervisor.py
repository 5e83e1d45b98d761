"""Starts monitors and speaks with them before the common client can: make, start, clear away."""

from __future__ import annotations

import asyncio
import errno
import marshal
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby_components.common.monitor import Identity, Task, TaskDir
from moby_components.common.monitor.task import gone
from moby_components.common.processes import Child, clean_environment
from moby_components.runtime.bubblewrap import sealed
from moby_py.errors import Conflict, InvalidArgument, RuntimeFailed

MONITOR = Path(__file__).parent / "monitor" / "__main__.py"
PATIENCE = 60.0
_TRIES = 10
"""Seconds that making a container may take; a hanging file system is the usual reason."""


async def make(directory: TaskDir, plan: Mapping[str, Any], **record: Any) -> Task:
    """Start a monitor for `plan` in `directory`, made just now; its process waits to be started.

    `record` is kept with the task. Raises InvalidArgument or RuntimeFailed with the monitor's words;
    the caller clears the directory then.
    """
    fd = os.memfd_create("plan", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(marshal.dumps({**plan, "directory": str(directory.path)}))
        os.lseek(fd, 0, os.SEEK_SET)
        argv = [sys.executable, "-I", "-S", str(MONITOR), str(directory.path)]
        env = clean_environment(sealed.environment())
        finished = await Child(argv, stdin=fd, env=env, executable=sealed.executable()).wait(PATIENCE)
    finally:
        os.close(fd)
    _judge(finished.out, finished.err)
    directory.commit(stdin=plan["io"]["stdin"], tty=plan["io"]["tty"], **record)
    task = Task.adopt(directory)
    assert task is not None  # noqa: S101 - committed just now
    return task


def _judge(out: bytes, err: bytes) -> None:
    try:
        answer = marshal.loads(out)  # noqa: S302 - our own child wrote it
    except (ValueError, EOFError, TypeError):
        words = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise RuntimeFailed(f"the monitor did not start - {words[-1]}") from None
    if "error" not in answer:
        return
    text = str(answer["error"])
    if answer.get("kind") == "invalid":
        raise InvalidArgument(_sentence(text))
    if answer.get("kind") == "gone":
        raise Conflict(text)
    raise RuntimeFailed(_sentence(text))


def _sentence(text: str) -> str:
    """*what - why* from "what: why"; what Docker's clients search for stays as it is."""
    if text.startswith("exec: "):
        return f"unable to start container process - {text}"
    what, colon, why = text.partition(": ")
    return f"{what} - {why}" if colon else text


async def start(directory: TaskDir) -> None:
    """Let the waiting process go; returns when its program runs. Raises Conflict when it went before,
    RuntimeFailed when the program cannot be executed."""
    loop = asyncio.get_running_loop()
    where = os.open(directory.path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        link.setblocking(False)
        try:
            link.connect(f"/proc/self/fd/{where}/start")
        except (FileNotFoundError, ConnectionRefusedError):
            raise Conflict("cannot start - it was started before") from None
        data = await loop.sock_recv(link, 65536)
    except ConnectionResetError:
        data = b""
    finally:
        link.close()
        os.close(where)
    if not data:
        raise Conflict("cannot start - it was started before, or was killed")
    answer = marshal.loads(data)  # noqa: S302 - our own monitor wrote it
    if "error" in answer:
        raise RuntimeFailed(_sentence(str(answer["error"])))


def is_waiting(directory: TaskDir) -> bool:
    """Whether the process of this directory has not been started yet."""
    return (directory.path / "start").exists()


async def clear(directory: TaskDir) -> None:
    """`end`, then remove the directory."""
    await end(directory)
    forget(directory)


def forget(directory: TaskDir) -> None:
    """Remove the directory: last, since without it nothing else of the process can be found. A monitor
    that was just being born when the daemon was killed may still write its first files: once more then."""
    for again in range(_TRIES):
        try:
            shutil.rmtree(directory.path)
        except FileNotFoundError:
            if not directory.path.exists():
                return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or again == _TRIES - 1:
                raise
            time.sleep(0.005)
        else:
            return


async def end(directory: TaskDir) -> None:
    """Kill the process and see its monitor end. Also for half-made ones. Idempotent."""
    task = Task.adopt(directory)
    monitor, process = (task.monitor, task.process) if task else directory.identities()
    if process and (task is None or task.exit() is None):
        process.kill(signal.SIGKILL)
    if monitor:
        if process is None:
            monitor.kill(signal.SIGKILL)  # nothing of it can be alive: its child sees it go
        await _end(monitor)
    if process:
        await _end(process)


async def _end(who: Identity, patience: float = 5.0) -> None:
    """Wait for an end that must come by itself, and help after a while."""
    try:
        async with asyncio.timeout(patience):
            await gone(who)
    except TimeoutError:
        who.kill(signal.SIGKILL)
        await gone(who)
