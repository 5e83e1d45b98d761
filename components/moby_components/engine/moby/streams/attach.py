"""`attach`: to what runs, or to what will."""

from __future__ import annotations

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.logs.reader import read_log
from moby_components.engine.moby.streams.pending import PendingStreams
from moby_components.engine.moby.streams.views import View
from moby_py.model import AttachOptions, LogOptions, Streams


async def attach(core: Core, ref: str, options: AttachOptions) -> Streams:
    """Before the start the streams wait for it; the lock keeps them from missing it."""
    async with core.locked(ref, "attach") as entry:
        past = None
        if options.logs and core.log_plan(entry.record).keep:
            past = read_log(
                core.layout.log(entry.id),
                LogOptions(stdout=options.stdout, stderr=options.stderr),
            )
        live: Streams | None = None
        if options.stream and entry.record.live:
            live = await core.runtime_of(entry.record).attach(entry.id)
        elif options.stream:
            live = waiting = PendingStreams(entry.forget_pending)
            entry.pending.append(waiting)
        core.happened(entry, "attach")
        return View(live, options, past=past, left=lambda: core.happened(entry, "detach"))
