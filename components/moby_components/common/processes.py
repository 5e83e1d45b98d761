"""Short-lived child processes for a daemon with an event loop: no thread, no shell, no fork of it.

`subprocess` starts them with vfork; their end comes through a pidfd; their output goes to memory
files, so that nothing need be read while they run and no pipe can fill up.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moby_py.errors import RuntimeFailed

LARGEST_OUTPUT = 4 << 20


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a tool may see of our environment: enough to find programs, nothing to find secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "XDG_RUNTIME_DIR", "TMPDIR") if name in os.environ}
    kept.setdefault("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    return {**kept, "LC_ALL": "C", **(extra or {})}


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `code` is negative for a signal; outputs are cut at `LARGEST_OUTPUT`."""

    code: int
    out: bytes
    err: bytes

    @property
    def words(self) -> str:
        """The last thing it said, stderr first."""
        return (self.err or self.out).decode(errors="replace").strip()


class Child:
    """A started child. `wait` it, or `abandon` it; never neither."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdin: int | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        pass_fds: Sequence[int] = (),
        executable: str | None = None,
        group: bool = False,
    ) -> None:
        self._name = Path(argv[0]).name
        self._group = group
        self._out = os.memfd_create("out", os.MFD_CLOEXEC)
        self._err = os.memfd_create("err", os.MFD_CLOEXEC)
        self._pidfd = -1
        try:
            self._process = subprocess.Popen(
                list(argv),
                executable=executable,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=self._out,
                stderr=self._err,
                env=clean_environment() if env is None else dict(env),
                cwd=cwd,
                pass_fds=tuple(pass_fds),
                process_group=0 if group else None,
            )
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as error:
            self._close()
            raise RuntimeFailed(
                f"cannot start {argv[0]} - {(error.strerror or str(error)).lower()}"
            ) from error

    async def wait(self, timeout: float | None = None) -> Finished:
        """Its end. After `timeout` seconds, or when cancelled, it is killed (`RuntimeFailed`)."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError as error:
            self._kill()
            raise RuntimeFailed(f"{self._name} was killed - no end after {timeout:g} s") from error
        except asyncio.CancelledError:
            self._kill()
            raise
        finally:
            loop.remove_reader(self._pidfd)
            # The pidfd said so, or we killed it: this does not block.
            code = self._process.wait()
            out, err = self._read(self._out), self._read(self._err)
            self._close()
        return Finished(code, out, err)

    def _kill(self) -> None:
        """With `group`, what it started as well: it leads a process group of its own."""
        if self._group:
            os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    @staticmethod
    def _read(fd: int) -> bytes:
        return os.pread(fd, LARGEST_OUTPUT, 0)

    def _close(self) -> None:
        for fd in (self._out, self._err, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self._out = self._err = self._pidfd = -1


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = 60.0,
) -> Finished:
    """Run to the end. A failing exit code is the caller's to judge."""
    return await Child(argv, env=env, cwd=cwd).wait(timeout)
