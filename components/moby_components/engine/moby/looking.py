"""inspect, top, stats, changes, update: questions to one container, and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.interfaces import interface_stats
from moby_components.engine.moby.processes import process_table
from moby_components.engine.moby.rendering.check import lacks
from moby_components.engine.moby.rendering.discarded import discarded
from moby_components.engine.moby.rendering.resources import resources
from moby_components.engine.moby.updating import updated
from moby_py.errors import Unsupported
from moby_py.model import Change, Container, ProcessTable, Resources, Stats

_ENGINE_PATHS = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/.dockerenv")
_ENGINE_TREES = ("/dev", "/proc", "/sys")


class Looking:
    def __init__(self, core: Core) -> None:
        self._core = core

    def shown(self, entry: Entry) -> Container:
        plan = self._core.log_plan(entry.record)
        return entry.record.shown(
            log_path=str(self._core.layout.log(entry.id)) if plan.keep else "",
            exec_ids=tuple(id for id, made in entry.execs.items() if made.instance.exit_code is None),
        )

    async def top(self, ref: str, ps_args: str) -> ProcessTable:
        entry = self._core.get(ref)
        entry.check("top")
        runtime = self._core.runtime_of(entry.record)
        try:
            table = await runtime.top(entry.id, ps_args)
        except Unsupported:
            table = await process_table(await runtime.processes(entry.id), ps_args)
        self._core.happened(entry, "top")
        return table

    async def stats(self, ref: str) -> Stats:
        """Nothing but zeros for a container that does not run."""
        entry = self._core.get(ref)
        entry.check("stats")
        if not entry.record.live:
            return Stats()
        runtime = self._core.runtime_of(entry.record)
        if "stats" not in runtime.features:
            raise lacks(entry.record.runtime, "statistics", "stats")
        found = await runtime.stats(entry.id)
        return replace(found, networks=interface_stats(entry.record.pid))

    async def changes(self, ref: str) -> Sequence[Change]:
        """Without what only the engine and the runtime made: mount points, /dev, the /etc files."""
        entry = self._core.get(ref)
        own = {*_ENGINE_PATHS, *(point["Destination"] for point in entry.record.mounts)}
        return hide(await self._core.store.changes(entry.id), own)

    async def update(self, ref: str, body: Mapping[str, Any]) -> Sequence[str]:
        """Limits and the restart policy; what is absent or zero stays."""
        core = self._core
        async with core.locked(ref, "update") as entry:
            record = entry.record
            host, limits_change = updated(record.id, record.host, body)
            warnings = await self._limit(entry, resources(host)) if limits_change else ()
            record.intent = {**record.intent, "HostConfig": host}
            with core.db.transaction():
                core.db.save_intent(record)
                core.db.save(record)
            core.happened(entry, "update")
        return warnings

    async def _limit(self, entry: Entry, limits: Resources) -> Sequence[str]:
        """Change a live container's limits; what cannot hold on this host is returned as warnings."""
        core, record = self._core, entry.record
        if record.live:
            name, runtime = record.runtime, core.runtime_of(record)
        else:
            name, runtime = core.runtime_wanted(record)
        here = await core.features_here(name, runtime)
        warnings = discarded(limits, here)
        if record.live and not warnings:
            if "update" not in here:
                raise lacks(name, "changing limits of a running container", "update")
            await runtime.update(entry.id, limits)
        return warnings

    async def resize(self, ref: str, height: int, width: int) -> None:
        entry = self._core.get(ref)
        entry.check("resize")
        await self._core.runtime_of(entry.record).resize(entry.id, height, width)
        self._core.happened(entry, "resize", height=str(height), width=str(width))


def hide(changes: Sequence[Change], own: set[str]) -> list[Change]:
    """Drop `own` paths that were added, what is below /dev, /proc and /sys, and the folders that are
    only mentioned because of those."""
    dropped = {
        change.path
        for change in changes
        if (change.path in own and change.kind == 1)
        or change.path.startswith(tuple(f"{tree}/" for tree in _ENGINE_TREES))
        or (change.path in _ENGINE_TREES)
    }
    kept = [change for change in changes if change.path not in dropped]
    parents = {path.rpartition("/")[0] for path in dropped}
    for parent in sorted(parents, key=len, reverse=True):
        here = parent
        while here:
            if not any(change.path.startswith(f"{here}/") for change in kept):
                # A folder of the image that is "modified", or one made on the way to a mount point.
                kept = [change for change in kept if change.path != here]
            here = here.rpartition("/")[0]
    return kept
