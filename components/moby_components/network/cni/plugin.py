"""One CNI plugin as a process: parameters in its environment, configuration on stdin, JSON on stdout.

CNI specification 1.0, section 2 (execution protocol). Errors come back as {"code", "msg", "details"} on
stdout; what a user reads names the network, the plugin and a way out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_components.common.processes import Child, clean_environment
from moby_py.errors import DataError, RuntimeFailed, Unavailable

TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PACKAGE = "containernetworking-plugins"
LONGEST_WORDS = 600

_DOING = {"ADD": "join", "DEL": "leave", "CHECK": "check", "GC": "clear", "VERSION": "tell its versions"}
_HINTS = {
    1: "give the network's conflist a cniVersion that every plugin of its chain speaks",
    2: "remove the field from the conflist, or install a plugin that knows it",
    4: "is the plugin older than the CNI specification 0.4? install a newer one",
    6: "check the JSON of the network's conflist",
    7: "correct the network's conflist or its options",
    11: "try again in a moment",
    50: "see what the plugin says on its own: its log, or that of its daemon",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What one container's interface on one network is called: the parameters of ADD, CHECK and DEL.
    `netns` is "" where the namespace is gone."""

    container_id: str
    netns: str
    interface: str


class Plugins:
    """Finds plugins by type and runs them. `pinned` are the programs found when the platform was built."""

    def __init__(self, dirs: Sequence[str], pinned: Mapping[str, Path], timeout: float) -> None:
        self._dirs = tuple(dirs)
        self._pinned = dict(pinned)
        self._timeout = timeout
        self._versions: dict[tuple[str, int], tuple[str, ...]] = {}

    def find(self, type: str) -> Path:
        """The program of a plugin type. Raises Unavailable."""
        pinned = self._pinned.get(type)
        if pinned is not None and pinned.parent.as_posix() in self._dirs and pinned.is_file():
            return pinned
        for directory in self._dirs:
            path = Path(directory, type)
            if path.is_file() and os.access(path, os.X_OK):
                return path
        raise Unavailable(
            f"there is no CNI plugin {type} in {', '.join(self._dirs)}",
            hint=f"apt-get install {PACKAGE}, or name its folder in plugin_dirs",
        )

    async def versions(self, type: str) -> tuple[str, ...]:
        """The CNI versions that a plugin speaks (VERSION); asked once per program. Raises MobyError."""
        path = self.find(type)
        key = (str(path), path.stat().st_mtime_ns)
        if key not in self._versions:
            answer = await self.call(type, "VERSION", {"cniVersion": "1.0.0"}, network="")
            found = (answer or {}).get("supportedVersions")
            self._versions[key] = tuple(str(v) for v in found) if isinstance(found, list) else ()
        return self._versions[key]

    async def call(
        self,
        type: str,
        command: str,
        config: Mapping[str, Any],
        *,
        network: str,
        place: Place | None = None,
        keep: Sequence[int] = (),
    ) -> dict[str, Any] | None:
        """Run one plugin; its JSON answer, None for an empty one. It inherits the descriptors `keep`.

        Raises Unavailable (no such plugin), RuntimeFailed (it failed or did not end in time; it and
        its children are killed then), DataError (its answer is no JSON object).
        """
        path = self.find(type)
        what = f"network {network}: CNI plugin {type}" if network else f"CNI plugin {type}"
        fd = os.memfd_create("config", os.MFD_CLOEXEC)
        try:
            os.write(fd, json.dumps(config).encode())
            os.lseek(fd, 0, os.SEEK_SET)
            child = Child(
                [str(path)],
                stdin=fd,
                env=self._environment(command, place),
                cwd=Path("/"),
                pass_fds=keep,
                group=True,
            )
        finally:
            os.close(fd)
        try:
            done = await child.wait(self._timeout)
        except RuntimeFailed as error:
            raise RuntimeFailed(
                f"{what} was killed - no end of {command} after {self._timeout:g} s",
                hint="find out what it waits for, or raise `timeout` of network/cni in the blueprint",
            ) from error
        if done.code != 0:
            raise _failure(f"{what} failed to {_DOING[command]}", done.code, done.out, done.err)
        if not done.out.strip():
            return None
        return _answer(what, command, done.out)

    def _environment(self, command: str, place: Place | None) -> dict[str, str]:
        extra = {"CNI_COMMAND": command, "CNI_PATH": ":".join(self._dirs)}
        if place is not None:
            extra |= {
                "CNI_CONTAINERID": place.container_id,
                "CNI_NETNS": place.netns,
                "CNI_IFNAME": place.interface,
                "CNI_ARGS": "IgnoreUnknown=1",
            }
        return clean_environment(extra)


def _answer(what: str, command: str, out: bytes) -> dict[str, Any]:
    try:
        found = json.loads(out)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(
            f"{what} answered {command} with something that is no CNI result - {_words(out)[:80]!r}",
            hint="is that program a CNI plugin? see plugin_dirs",
        )
    return found


def _failure(what: str, status: int, out: bytes, err: bytes) -> RuntimeFailed:
    try:
        error = json.loads(out)
    except (ValueError, RecursionError):
        error = None
    if not isinstance(error, dict) or not isinstance(error.get("msg"), str):
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        words = _words(err or out)
        return RuntimeFailed(f"{what} - {ended}{': ' + words if words else ''}")
    code = error.get("code")
    details = error.get("details")
    text = _words(error["msg"].encode(errors="replace"))
    if isinstance(details, str) and details:
        text = f"{text}; {_words(details.encode(errors='replace'))}"
    if isinstance(code, int):
        return RuntimeFailed(f"{what} - {text} (CNI code {code})", hint=_HINTS.get(code))
    return RuntimeFailed(f"{what} - {text}")


def _words(raw: bytes) -> str:
    """A plugin's text on one line, of bounded length, without control characters."""
    text = " ".join(raw[: 4 * LONGEST_WORDS].decode(errors="replace").split())
    return "".join(c if c.isprintable() else "?" for c in text)[:LONGEST_WORDS]
