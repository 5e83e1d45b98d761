"""The process that runs a platform: `python -m moby_py.daemon OUT`. `moby-py up` starts it.

It holds a lock on RUN/daemon.lock for its whole life, tells whoever started it (a pipe) and
systemd (NOTIFY_SOCKET) when the APIs answer, and ends on a signal: SIGTERM and SIGINT stop the
containers first, SIGUSR1 leaves them running (`moby-py down --keep-containers`, upgrades).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import logging.handlers
import os
import signal
import socket
import sys
import time
from pathlib import Path

from moby_py import elsewhere, reserve
from moby_py.errors import Conflict, MobyError
from moby_py.platform import Built, Platform, load

log = logging.getLogger("moby_py.daemon")
MAX_LOG, KEPT_LOGS = 10 << 20, 3


class Notifier:
    """Says one line to the starter: `ready ENDPOINT...`, or `error JSON`."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def say(self, line: str) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, line.encode() + b"\n")
                os.close(self._fd)
            self._fd = None


def lock(built: Built) -> int:
    """Take RUN/daemon.lock; the open descriptor is the lock. Raises Conflict when it is held."""
    built.run.mkdir(mode=0o711, parents=True, exist_ok=True)
    fd = os.open(built.run / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise Conflict(
            f"platform {built.name!r} is up already - its daemon holds {built.run / 'daemon.lock'}",
            hint=f"moby-py down {built.directory}",
        ) from None
    return fd


def sd_notify(text: str) -> None:
    """sd_notify(3) in six lines; nothing without a NOTIFY_SOCKET."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.connect("\0" + path[1:] if path.startswith("@") else path)
            peer.sendall(text.encode())


async def serve(built: Built, notifier: Notifier, *, rootless: bool) -> None:
    """Open the platform, say so, wait for a signal, close it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()

    def end(stop_containers: bool) -> None:
        if not ended.done():
            ended.set_result(stop_containers)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, True)
    loop.add_signal_handler(signal.SIGUSR1, end, False)

    began = time.monotonic()
    platform = Platform(built, rootless=rootless)
    reserve.give_back(built.state)
    await platform.open()
    stop_containers: bool | None = None
    try:
        reserve.keep_back(built.state)
        await platform.ensure_images()
        _record(built, platform)
        pointer = None
        if built.elsewhere:
            place = elsewhere.Place(built.state, built.run)
            pointer = elsewhere.leave(built.directory, built.name, place)
        log.info(
            "platform %s is up after %.2f s at %s",
            built.name,
            time.monotonic() - began,
            ", ".join(platform.endpoints) or built.run,
        )
        notifier.say("ready " + " ".join(platform.endpoints))
        sd_notify("READY=1")
        stop_containers = await ended
        sd_notify("STOPPING=1")
        if stop_containers:
            await platform.stop_containers()
            if pointer:
                elsewhere.forget(pointer)
    finally:
        reserve.give_back(built.state)  # for last notes
        # Containers that run on go on using what was made to outlive us; a start that failed leaves no
        # more than it found.
        await platform.close(leave_kept=stop_containers is False, leave_adopted=stop_containers is None)
        reserve.keep_back(built.state)
        built.record.unlink(missing_ok=True)
        log.info("platform %s is down", built.name)


def run(built: Built, notifier: Notifier, *, rootless: bool = False) -> int:
    """The daemon's whole life in this process; returns its exit status."""
    held = lock(built)
    try:
        if sys.version_info < (3, 12):
            # The default watcher of 3.11 starts a thread per child process.
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
        asyncio.run(serve(built, notifier, rootless=rootless))
    except MobyError as error:
        log.error("%s", error)
        notifier.say("error " + json.dumps({"message": error.message, "hint": error.hint}))
        raise
    except BaseException as error:
        log.exception("the daemon failed")
        notifier.say(
            "error " + json.dumps({"message": f"the daemon failed - {error!r}", "hint": "moby-py logs"})
        )
        raise
    finally:
        os.close(held)
    return 0


def start_logging(built: Built, *, stderr: bool) -> None:
    """Everything to STATE/daemon.log (0600, rotated), and to stderr in the foreground."""
    built.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.handlers.RotatingFileHandler(built.log_file, maxBytes=MAX_LOG, backupCount=KEPT_LOGS)
    ]
    built.log_file.chmod(0o600)
    if stderr:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=os.environ.get("MOBY_PY_LOG", "INFO").upper(),
        format="%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _record(built: Built, platform: Platform) -> None:
    record = {
        "pid": os.getpid(),
        "directory": str(built.directory),
        "state": str(built.state),
        "run": str(built.run),
        "since": time.time(),
        "endpoints": list(platform.endpoints),
    }
    partial = built.record.with_suffix(".new")
    partial.write_text(json.dumps(record), encoding="utf-8")
    partial.rename(built.record)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="moby_py.daemon")
    parser.add_argument("directory")
    parser.add_argument("--state")
    parser.add_argument("--run")
    parser.add_argument("--notify-fd", type=int)
    parser.add_argument("--foreground", action="store_true")
    args = parser.parse_args(argv)
    notifier = Notifier(args.notify_fd)
    if args.notify_fd is not None:
        os.set_inheritable(args.notify_fd, False)
    os.umask(0o022)
    try:
        built = load(args.directory, state=args.state, run=args.run)
        built.run.mkdir(mode=0o711, parents=True, exist_ok=True)
        rootless = os.geteuid() != 0
        if rootless:
            from moby_py.rootless import enter

            enter(built.run)
        start_logging(built, stderr=args.foreground)
        return run(built, notifier, rootless=rootless)
    except MobyError as error:
        notifier.say("error " + json.dumps({"message": error.message, "hint": error.hint}))
        if args.foreground:
            sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_status


if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if p not in ("", str(Path.cwd()))]
    sys.exit(main())
