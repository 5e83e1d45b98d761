"""After a daemon start: which processes' directories are there, whole or half-made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from moby_components.common.monitor.layout import TaskDir
from moby_components.common.monitor.task import Task


def scan(run: Path) -> Iterator[tuple[TaskDir, Task | None]]:
    """Each container directory below `run` with its task; None: half-made, to be cleared away.

    Directories that begin with a dot are not containers. Execs are found with `scan_execs`.
    """
    if not run.is_dir():
        return
    for path in sorted(run.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or path.is_symlink():
            continue
        directory = TaskDir(path, path.name)
        yield directory, Task.adopt(directory)


def scan_execs(container: TaskDir) -> Iterator[tuple[str, Task | None]]:
    """Each exec of a container by its id, as `scan` does."""
    if not container.execs.is_dir():
        return
    for path in sorted(container.execs.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield path.name, Task.adopt(TaskDir(path, container.name))
