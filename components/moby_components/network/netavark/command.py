"""Calls of the netavark program, one at a time on the whole host.

netavark looks whether a chain exists and then makes it: two at once get in each other's way. So every
call, of whatever platform, holds a lock on the program's own file.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from moby_components.common.processes import Child, Finished, clean_environment
from moby_py.errors import RuntimeFailed

TIMEOUT = 60.0
_GONE = re.compile(
    r"\(os error (?:2|3|19|99)\)|aardvark pid not found|(?i:no chain/target/match|does not exist|bad rule)"
)
"""What a teardown says of things that are not there: ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL, aardvark,
iptables."""


class Command:
    """The program with its fixed arguments. `folder` holds aardvark's files."""

    def __init__(self, program: Path, aardvark: Path, iptables: Path | None, folder: Path) -> None:
        self._argv = (
            str(program),
            "--config",
            str(folder),
            "--rootless=false",
            "--aardvark-binary",
            str(aardvark),
        )
        self._program = program
        self._inside = asyncio.Lock()
        # Where iptables is and nothing else: netavark starts aardvark through systemd-run when it
        # finds one, even where no systemd runs; and a firewalld beside us is not ours to fill.
        path = str(iptables.parent) if iptables else "/usr/sbin:/sbin"
        self._env = clean_environment({"PATH": path, "NETAVARK_FW": "iptables"})

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody else on the host calls netavark meanwhile."""
        async with self._inside:
            fd = os.open(self._program, os.O_RDONLY | os.O_CLOEXEC)
            try:
                await asyncio.to_thread(fcntl.flock, fd, fcntl.LOCK_EX)
                yield
            finally:
                os.close(fd)

    async def setup(self, sandbox: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """netavark's status of each network. Raises RuntimeFailed with netavark's own words."""
        done = await self._run("setup", sandbox, body)
        try:
            answer = json.loads(done.out)
        except ValueError:
            answer = None
        if done.code != 0 or not isinstance(answer, dict) or "error" in answer:
            raise RuntimeFailed(f"netavark could not connect the container - {_words(done, answer)}")
        return answer

    async def teardown(self, sandbox: str, body: Mapping[str, Any]) -> None:
        """The opposite. What is gone already is no error; anything else is RuntimeFailed."""
        done = await self._run("teardown", sandbox, body)
        if done.code == 0:
            return
        answer: Any = None
        with contextlib.suppress(ValueError):
            answer = json.loads(done.out)
        words = _words(done, answer)
        problems = [line.strip(" \t-") for line in words.splitlines() if "multiple errors" not in line]
        if not problems or any(not _GONE.search(problem) for problem in problems):
            raise RuntimeFailed(f"netavark could not disconnect the container - {words}")

    async def _run(self, action: str, sandbox: str, body: Mapping[str, Any]) -> Finished:
        stdin = os.memfd_create("netavark", os.MFD_CLOEXEC)
        try:
            os.write(stdin, json.dumps(body).encode())
            os.lseek(stdin, 0, os.SEEK_SET)
            child = Child([*self._argv, action, sandbox], stdin=stdin, env=self._env)
        finally:
            os.close(stdin)
        return await child.wait(TIMEOUT)


def _words(done: Finished, answer: Any) -> str:
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return str(answer["error"]).strip()
    return done.words or f"it ended with {done.code}"
