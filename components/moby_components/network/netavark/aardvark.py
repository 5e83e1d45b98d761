"""aardvark-dns: noticed when it dies, brought back, ended with the last name.

netavark starts it at the first setup with names and tells it of changes (SIGHUP); it ends by itself
when its last network goes. What netavark does not do: bring it back before the next container comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from moby_components.common.processes import run
from moby_components.network.netavark.journal import Entry
from moby_py.errors import MobyError

_CALM = 5.0
_LONGEST = 30.0


class Aardvark:
    """The one server of this component. `entries` tells which endpoints there are; while `alone` is
    held nobody calls netavark, which starts and ends the server too."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        entries: Callable[[], Sequence[Entry]],
        alone: Callable[[], AbstractAsyncContextManager[None]],
        log: logging.Logger,
    ) -> None:
        self._program = program
        self._alone = alone
        self._folder = folder / "aardvark-dns"
        self._entries = entries
        self._log = log
        self._watched = -1
        self._pidfd = -1
        self._revival: asyncio.Task[None] | None = None
        self._last = 0.0
        self._deaths = 0

    @property
    def _pid_file(self) -> Path:
        return self._folder / "aardvark.pid"

    def pid(self) -> int:
        """Of the running server, or 0. A pid file that names anything else - a zombie, or a stranger
        who got the number - is removed: netavark would believe it and send that process signals."""
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            pid = 0
        if pid > 0 and self._is_ours(pid):
            return pid
        self._pid_file.unlink(missing_ok=True)
        return 0

    def _is_ours(self, pid: int) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")  # a zombie's is empty
        except OSError:
            return False
        return os.fsencode(self._folder) in words

    def watch(self) -> None:
        """Watch the server that runs now, if any. Idempotent."""
        pid = self.pid()
        if not pid or pid == self._watched:
            return
        self._forget()
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError:
            return
        self._watched = pid
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _forget(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
        self._pidfd = self._watched = -1

    def _ended(self) -> None:
        self._forget()
        if self._revival is None:
            self._revival = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        """Start it again if it should run: at once the first time, then slower and slower."""
        try:
            if time.monotonic() - self._last > _CALM:
                self._deaths = 0
            while True:
                if self._deaths:
                    await asyncio.sleep(min(_LONGEST, 0.1 * 2**self._deaths))
                async with self._alone():
                    if self.pid() or not any(entry.named for entry in self._entries()):
                        break
                    self._log.warning("aardvark-dns ended while names were to be served; starting it again")
                    self._deaths += 1
                    self._last = time.monotonic()
                    try:
                        await self.mend()
                    except MobyError as error:
                        self._log.error("aardvark-dns does not start: %s", error)
        finally:
            self._revival = None
        self.watch()

    async def mend(self) -> None:
        """Its files name every endpoint, and it runs where there is one. Idempotent."""
        entries = [entry for entry in self._entries() if entry.named]
        self._folder.mkdir(mode=0o700, exist_ok=True)
        changed = self._write(entries)
        pid = self.pid()
        if pid and changed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGHUP)
        elif not pid and entries:
            # It goes to the background by itself, once it serves.
            await run([str(self._program), "--config", str(self._folder), "-p", "53", "run"], timeout=10.0)
        self.watch()

    def _write(self, entries: Sequence[Entry]) -> bool:
        """Bring the files in line: `GATEWAY[,GATEWAY]`, then `ID IPV4 IPV6 NAME[,NAME] [DNS,...]`."""
        wanted: dict[str, list[str]] = {}
        for entry in entries:
            subnets = entry.info["subnets"]
            heading = ",".join(s["gateway"] for s in subnets if s.get("gateway"))
            endpoint = entry.input["networks"][entry.network_id]
            v4 = ",".join(a for a in endpoint["static_ips"] if ":" not in a)
            v6 = ",".join(a for a in endpoint["static_ips"] if ":" in a)
            names = ",".join([entry.input["container_name"], *endpoint["aliases"]])
            servers = ",".join(entry.input.get("dns_servers", ()))
            line = f"{entry.container_id} {v4} {v6} {names}" + (f" {servers}" if servers else "")
            wanted.setdefault(entry.network_id, [heading]).append(line)
        changed = False
        for path in self._folder.iterdir():
            if path.name != "aardvark.pid" and path.name not in wanted:
                path.unlink()
                changed = True
        for network, lines in wanted.items():
            path = self._folder / network
            there = path.read_text().splitlines() if path.exists() else []
            if there[:1] != lines[:1] or sorted(there[1:]) != sorted(lines[1:]):
                path.write_text("\n".join(lines) + "\n")
                changed = True
        return changed

    async def stop(self) -> None:
        """End it. Idempotent."""
        pid = self.pid()
        self.unwatch()
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            ended = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(fd, ended.set)
            try:
                signal.pidfd_send_signal(fd, signal.SIGTERM)
                try:
                    await asyncio.wait_for(ended.wait(), 2.0)
                except TimeoutError:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    await ended.wait()
            finally:
                loop.remove_reader(fd)
                os.close(fd)
        self._pid_file.unlink(missing_ok=True)

    def unwatch(self) -> None:
        """Leave it running, unwatched."""
        self._forget()
        if self._revival is not None:
            self._revival.cancel()
            self._revival = None
