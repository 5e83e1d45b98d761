"""The runtime program: its global arguments, its commands, its errors as exceptions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moby_components.common.ociruntime.words import last_words, spelled
from moby_components.common.processes import Finished, run
from moby_py.errors import NotFound, RuntimeFailed

COMMAND_TIMEOUT = 60.0
"""Seconds for one command; none of them waits for a container."""

_UNKNOWN = ("does not exist", "no such container", "error opening file")


class Cli:
    """One runtime program with one state directory."""

    def __init__(self, program: Path, root: Path, extra: Sequence[str] = ()) -> None:
        self.program = program
        self.root = root
        self.extra = tuple(extra)

    def arguments(self, log: Path, more: Sequence[str] = ()) -> list[str]:
        """The global arguments, before any command. `more` are the container's own."""
        return [f"--root={self.root}", f"--log={log}", "--log-format=json", *self.extra, *more]

    async def command(
        self,
        log: Path,
        what: str,
        *args: str,
        more: Sequence[str] = (),
        subject: str = "",
        through: Sequence[str] = (),
    ) -> Finished:
        """Run `what` with `args`, `through` another program if one is given. Raises `RuntimeFailed`
        with the runtime's own last words."""
        argv = [*through, str(self.program), *self.arguments(log, more), what, *args]
        finished = await run(argv, timeout=COMMAND_TIMEOUT)
        if finished.code != 0:
            raise failure(f"cannot {what} the container", log, finished.words, subject)
        return finished

    async def delete(self, container_id: str, log: Path, more: Sequence[str] = ()) -> None:
        """`delete --force`. Idempotent: a container that the runtime does not know is no error."""
        if not self.knows(container_id):
            return
        argv = [str(self.program), *self.arguments(log, more), "delete", "--force", container_id]
        finished = await run(argv, timeout=COMMAND_TIMEOUT)
        if finished.code != 0:
            words = last_words(log, finished.words)
            if not any(text in words for text in _UNKNOWN):
                raise RuntimeFailed(f"cannot delete the container - {words}")
        # A runtime that was killed while it created leaves files that it does not know itself.
        for path in self._files(container_id):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def knows(self, container_id: str) -> bool:
        """Whether the runtime has state of this container (all of them name it by the id)."""
        return bool(self._files(container_id))

    def known(self) -> set[str]:
        """The ids in its state directory: folders, or runsc's files <id>_sandbox:<id>.state."""
        if not self.root.is_dir():
            return set()
        names = (path.name for path in self.root.iterdir())
        return {name.partition("_sandbox:")[0] for name in names if not name.startswith(".")}

    def _files(self, container_id: str) -> list[Path]:
        if not self.root.is_dir():
            return []
        prefix = f"{container_id}_sandbox:"
        return [p for p in self.root.iterdir() if p.name == container_id or p.name.startswith(prefix)]

    async def state(self, container_id: str, log: Path, more: Sequence[str] = ()) -> dict[str, Any]:
        """What the runtime says. Raises `NotFound` when it says nothing."""
        argv = [str(self.program), *self.arguments(log, more), "state", container_id]
        finished = await run(argv, timeout=COMMAND_TIMEOUT)
        try:
            state = json.loads(finished.out)
        except ValueError as error:
            raise NotFound(f"the runtime knows no container {container_id}") from error
        if finished.code != 0 or not isinstance(state, dict):
            raise NotFound(f"the runtime knows no container {container_id}")
        return state


def failure(what: str, log: Path, said: str, command: str) -> RuntimeFailed:
    """A `RuntimeFailed` whose message ends with the runtime's last words."""
    words = spelled(last_words(log, said), command)
    return RuntimeFailed(f"{what} - {words or 'it gave no reason'}")
