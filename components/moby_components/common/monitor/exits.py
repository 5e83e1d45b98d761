"""Exit statuses of execs whose files are gone: kept in memory, the newest of each container."""

from __future__ import annotations

from collections import OrderedDict

from moby_py.model import ExitStatus

KEPT = 1024
"""Per container. Older ones are forgotten: `wait` answers `NotFound` for them."""


class ExecExits:
    def __init__(self) -> None:
        self._kept: dict[str, OrderedDict[str, ExitStatus]] = {}

    def keep(self, container_id: str, exec_id: str, status: ExitStatus) -> None:
        of = self._kept.setdefault(container_id, OrderedDict())
        of[exec_id] = status
        while len(of) > KEPT:
            of.popitem(last=False)

    def get(self, container_id: str, exec_id: str) -> ExitStatus | None:
        return self._kept.get(container_id, OrderedDict()).get(exec_id)

    def forget(self, container_id: str) -> None:
        self._kept.pop(container_id, None)
