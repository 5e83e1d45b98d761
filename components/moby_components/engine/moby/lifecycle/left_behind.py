"""Containers of a runtime that the blueprint no longer has.

A stopped container simply starts on the new runtime: its record is intent, not a rendering. One whose
processes still run (`down --keep-containers`, or a killed daemon) cannot be moved, and to call it
"exited" would let the same layer and volumes be used twice. Nothing but its runtime can look after it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable

from moby_components.common import cgroups
from moby_components.common.monitor import Task, TaskDir
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_py.errors import Unavailable
from moby_py.model import ExitStatus


def refuse_running(core: Core, entries: Iterable[Entry]) -> None:
    """Raises `Unavailable` when a container runs on a runtime that is gone. Changes nothing."""
    found = [
        (entry.record.name, entry.record.runtime)
        for entry in entries
        if (task := _task(core, entry)) is not None and task.exit() is None
    ]
    if not found:
        return
    names = ", ".join(sorted(name for name, _ in found))
    runtimes = ", ".join(sorted({runtime for _, runtime in found}))
    wanted = ", ".join([*core.runtimes, *sorted({runtime for _, runtime in found})])
    raise Unavailable(
        f"containers still run on a runtime that the blueprint no longer has - {names} on {runtimes}",
        hint=f"write `runtime: [{wanted}]`, build and start again; "
        "or first stop them under the old blueprint",
    )


def ended(core: Core, entry: Entry) -> ExitStatus | None:
    """How a container of a runtime that is gone ended, as its monitor wrote it; what was left of it on
    the host is removed. None where nothing is known."""
    task = _task(core, entry)
    status = task.exit() if task is not None else None
    if task is not None and status is not None:
        _remove_cgroups(f"/moby-py/{core.context.platform.name}/{entry.id}")
        shutil.rmtree(task.dir.path, ignore_errors=True)
    return status


def _remove_cgroups(path: str) -> None:
    """The container's, and those above it that it was the last in."""
    groups = cgroups.Hierarchies.detect().at(path)
    cgroups.remove(groups)
    for group in dict.fromkeys(groups.values()):
        for folder in (group.parent, group.parent.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()


def _task(core: Core, entry: Entry) -> Task | None:
    record = entry.record
    if not (record.live or record.starting) or record.runtime in core.runtimes or not record.runtime:
        return None
    # RUN/KIND/ID is the platform's rule, the layout below it that of every monitor of ours.
    path = core.context.platform.run / "runtime" / record.runtime / record.id
    return Task.adopt(TaskDir(path, record.id)) if path.is_dir() else None
