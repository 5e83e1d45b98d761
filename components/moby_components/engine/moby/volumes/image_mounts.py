"""`--mount type=image`: an image's files in a container, read-only.

The image store prepares it under an id of its own, CONTAINER.imageN, which is let go of with the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.records import Record
from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_components.engine.moby.volumes.stage import Stage
from moby_py.errors import Unsupported


async def mounted(core: Core, entry: Entry, number: int, plan: MountPlan, stage: Stage) -> Path:
    """Where it is on the host until the stage is withdrawn. Raises NotFound, Unsupported."""
    found = await core.store.prepare(plan.image_id, _id(entry.id, number))
    if not found.mounts:
        raise Unsupported(
            f"image store {core.store.name} cannot mount an image into a container - "
            "its images are the runtime's alone"
        )
    return await asyncio.to_thread(stage.mount, found.mounts)


async def release(core: Core, record: Record) -> None:
    """What `mounted` had prepared. Idempotent."""
    for id in prepared(record):
        await core.store.release(id)


def prepared(record: Record) -> Iterator[str]:
    """The ids under which the store may keep something for this container's mounts."""
    return (_id(record.id, number) for number, plan in enumerate(record.plans) if plan["type"] == "image")


def everything_prepared(core: Core) -> list[str]:
    """All ids under which the store keeps something for us: containers, and the images they mount."""
    records = [entry.record for entry in core.entries.values()]
    return [record.id for record in records] + [id for record in records for id in prepared(record)]


def images(record: Record) -> Iterator[str]:
    """Ids of the images that its mounts use."""
    return (str(plan["image_id"]) for plan in record.plans if plan["type"] == "image")


def _id(container: str, number: int) -> str:
    return f"{container}.image{number}"
