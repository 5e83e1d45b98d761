"""runsc (gVisor): each container gets a kernel of its own, written in Go.

What follows from that: its processes are not the host's (signals and lists go through the program),
seccomp and limits hold for the sandbox as a whole, namespaces are joined by nobody, and `update`
does not exist. https://gvisor.dev/docs/
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from moby_components.common.mounts import CLONE_NEWNET, unshare
from moby_components.common.netns import in_thread
from moby_components.common.ociruntime import CONMON, OciRuntime
from moby_py import Component, hookimpl
from moby_py.model import ProcessTable, Sandbox
from moby_py.needs import Binary, Feature

_TITLES = ("UID", "PID", "PPID", "STIME", "TIME", "CMD")


_WITHOUT_TTY = """#!/bin/sh
# conmon before 2.1.8 adds --tty to an exec with a terminal; runsc knows the terminal from
# process.json and refuses the word.
for word do
    shift
    [ "$word" = --tty ] || set -- "$@" "$word"
done
exec {program} "$@"
"""

# Until 2024 runsc took a network namespace for the host's where this file exists; since Linux 6.10 it
# exists in all of them. https://github.com/google/gvisor/blob/master/runsc/sandbox/network.go (isRootNS)
_MARK_OF_THE_HOST = "/proc/sys/net/core/rmem_default"
# (A mount on .../core would not do: each network namespace has a directory of its own there.)
_HIDING_IT = (
    *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
    f'mount -t tmpfs -o ro,size=4k none {Path(_MARK_OF_THE_HOST).parents[1]} && exec "$@"',
    "sh",
)


class Runsc(OciRuntime):
    name = "runsc"
    summary = "OCI containers in gVisor sandboxes with runsc, watched over by conmon"
    binary = "runsc"
    sandboxed = True
    needs = (
        Binary("runsc", package="runsc"),
        CONMON,
        Feature("cgroup", why="limits", optional=True),
    )
    features = frozenset({"pause", "stats", "exec", "tty", "cgroups", "own-network-stack"})

    def global_arguments(self) -> tuple[str, ...]:
        # Without the option each version takes its own default: ptrace until 2022, systrap since.
        platform = self.options.get("platform")
        own = (f"--platform={platform}",) if platform else ()
        # The sandbox would keep what it knows of the root, and since 2023 also what it writes there, to
        # itself: `cp` into a container would not be seen in it, `diff` and `commit` not what it wrote.
        return (*own, f"--file-access={self.options.get('file_access') or 'shared'}", "--overlay2=none")

    def arguments(self, sandbox: Sandbox) -> tuple[str, ...]:
        mode = {"host": "host", "empty": "none"}.get(sandbox.mode, "sandbox")
        cgroups = () if self.host.controllers else ("--ignore-cgroups",)
        return (f"--network={'sandbox' if sandbox.path else mode}", *cgroups)

    def through(self, what: str, more: Sequence[str]) -> Sequence[str]:
        return _HIDING_IT if what == "start" and "--network=sandbox" in more and _seen_everywhere() else ()

    def exec_program(self, *, tty: bool) -> Path:
        if not tty:
            return self.program
        # Below STATE, not RUN: /run is often mounted noexec.
        script = self.context.dirs.state / "runsc-without-tty"
        text = _WITHOUT_TTY.format(program=shlex.quote(str(self.program)))
        if not script.exists() or script.read_text(encoding="utf-8") != text:
            new = script.with_suffix(".new")
            new.write_text(text, encoding="utf-8")
            new.chmod(0o700)
            new.rename(script)
        return script

    def adapt(self, config: dict[str, Any]) -> dict[str, Any]:
        config.get("linux", {}).pop("seccomp", None)  # the sandbox has its own, far stricter filter
        if "root" in config:
            _keep_tmp(config)
        return config

    async def top(self, container_id: str, ps_args: str) -> ProcessTable:
        """The sandbox's own pids; `ps_args` mean nothing to it."""
        task = self._task(container_id)
        log = task.dir.path / "runtime.log"
        more = task.record.get("arguments", ())
        # As a table: its JSON was a list of bare pids until 2023.
        finished = await self.cli.command(log, "ps", "--format=table", container_id, more=more)
        lines = finished.out.decode(errors="replace").splitlines()
        titles = tuple(lines[0].split()) if lines else _TITLES
        rows = (tuple(line.split(None, len(titles) - 1)) for line in lines[1:])
        return ProcessTable(titles=titles, rows=tuple(row for row in rows if len(row) == len(titles)))


@cache
def _seen_everywhere() -> bool:
    """Whether this kernel shows the file in a new network namespace too."""

    def look() -> bool:
        unshare(CLONE_NEWNET)
        return Path(_MARK_OF_THE_HOST).exists()

    try:
        return in_thread(look)
    except OSError:
        return False


def _keep_tmp(config: dict[str, Any]) -> None:
    """Where an image's /tmp is empty, the sandbox lays a file system of its own on it that nobody else
    sees: not `cp`, `diff`, `commit` or `export`. A mount that is there already keeps it from that."""
    mounts = config["mounts"]
    tmp = Path(config["root"]["path"], "tmp")
    if (
        any(mount["destination"].rstrip("/") == "/tmp" for mount in mounts)
        or tmp.is_symlink()
        or not tmp.is_dir()
    ):
        return
    options = ["rbind", "rprivate", *(["ro"] if config["root"].get("readonly") else [])]
    place = next(
        (n for n, mount in enumerate(mounts) if mount["destination"].startswith("/tmp/")), len(mounts)
    )
    mounts.insert(place, {"destination": "/tmp", "type": "bind", "source": str(tmp), "options": options})


@hookimpl
def moby_components() -> Sequence[type[Component]]:
    return [Runsc]
