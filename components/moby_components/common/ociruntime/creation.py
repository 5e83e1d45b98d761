"""create: a bundle, conmon, the runtime's create, and the record that makes it whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.cgroups import Hierarchies
from moby_components.common.monitor import TaskDir
from moby_components.common.ociruntime import conmon
from moby_components.common.ociruntime.cli import Cli, failure
from moby_py.model import ContainerIO


def write_private(path: Path, value: Any) -> None:
    """JSON into a new file that only we can read."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(json.dumps(value))  # json.dump would encode piece by piece, in Python


async def create(
    where: TaskDir,
    config: Mapping[str, Any],
    io: ContainerIO,
    *,
    program: Path,
    cli: Cli,
    more: Sequence[str],
    hierarchies: Hierarchies,
) -> None:
    """Make the container of `config` in the (made, empty) directory `where`.

    Raises `RuntimeFailed`; the caller clears the directory then.
    """
    write_private(where.path / "config.json", config)
    log = where.path / "runtime.log"
    process = config["process"]
    argv = conmon.arguments(program, cli.program, where, io, process["terminal"])
    argv += [f"--runtime-arg={argument}" for argument in cli.arguments(log, more)]
    started = await conmon.launch(argv, where)
    if not started.pid:
        raise failure("cannot create the container", log, started.error, process["args"][0])
    where.commit(
        stdin=io.stdin,
        tty=process["terminal"],
        arguments=list(more),
        rootfs=config["root"]["path"],
        cgroups=groups_of(config, hierarchies),
        own_pids=any(ns["type"] == "pid" and "path" not in ns for ns in config["linux"]["namespaces"]),
    )


def groups_of(config: Mapping[str, Any], hierarchies: Hierarchies) -> dict[str, str]:
    """The container's cgroup in each hierarchy where it got one: the path is ours to say."""
    path = config["linux"].get("cgroupsPath")
    if not path:
        return {}
    return {name: str(where) for name, where in hierarchies.at(path).items() if where.is_dir()}
