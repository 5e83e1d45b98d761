"""`create`: check everything, choose a name, resolve the mounts, record the intent. Nothing runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from moby_components.engine.moby.clock import now_ns, rfc3339
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.images import Images
from moby_components.engine.moby.names import check_name, new_id, random_name
from moby_components.engine.moby.networking import shown, wishes
from moby_components.engine.moby.records import Record
from moby_components.engine.moby.rendering.check import check, check_features, unwatched
from moby_components.engine.moby.rendering.discarded import discarded
from moby_components.engine.moby.rendering.logconfig import log_plan
from moby_components.engine.moby.rendering.merge import merge
from moby_components.engine.moby.rendering.mounts import MountPlan, plan
from moby_components.engine.moby.rendering.network import networking
from moby_components.engine.moby.rendering.process import command
from moby_components.engine.moby.rendering.resources import resources
from moby_components.engine.moby.rendering.shape import check_shape
from moby_components.engine.moby.rendering.text import refuse_nul
from moby_components.engine.moby.volumes import Volumes
from moby_components.engine.moby.volumes.sources import check_source
from moby_components.engine.moby.volumes.spread import settled
from moby_py.errors import AlreadyExists, InvalidArgument, NotFound
from moby_py.model import Created, Volume


class Creator:
    def __init__(self, core: Core, images: Images, volumes: Volumes) -> None:
        self._core = core
        self._images = images
        self._volumes = volumes

    async def create(self, body: Mapping[str, Any], name: str, platform: str) -> Created:
        """See the contract. Rows of the container and of its new volumes are written at once."""
        core = self._core
        if name:
            name = check_name(name)
            self._check_free(name)
        check_shape(body)
        refuse_nul(body)
        reference = body.get("Image")
        if not reference:
            raise InvalidArgument("config cannot be empty in order to create a container - it names no Image")
        image = await self._images.find(reference)
        system, _, rest = platform.partition("/")
        if platform and (image.os, image.architecture) != (
            system,
            rest.partition("/")[0] or image.architecture,
        ):
            raise NotFound(
                f"image with reference {reference} was found but does not provide the specified platform "
                f"({platform})"
            )
        merged = merge(body, image.config)
        check_shape(merged)  # again: an image of another store may hold anything
        id = new_id()
        warnings = check(merged, id, default_network=core.networks.default)
        if merged["HostConfig"].get("NetworkMode") != "host" and not _shares_network(merged):
            merged["Hostname"] = merged.get("Hostname") or ("" if _host_uts(merged) else id[:12])
        merged["HostConfig"]["LogConfig"] = self._log_config(merged["HostConfig"])
        args = command(merged)
        created = now_ns()
        record = Record(
            id=id,
            name="",
            created_ns=created,
            created=rfc3339(created),
            image=reference,
            image_id=image.id,
            intent=merged,
            path=args[0],
            args=list(args[1:]),
        )
        record.runtime, runtime = core.runtime_wanted(record)
        check_features(merged, record.runtime, runtime.features)
        warnings += unwatched(merged, record.runtime, runtime.features)
        here = await core.features_here(record.runtime, runtime)
        warnings += discarded(resources(merged["HostConfig"]), here)
        made = await self._resolve_mounts(record)
        wanted = networking(merged, id=id, default=core.networks.default)
        if not wanted.join:
            wishes.store(record, wanted.endpoints)
        record.network = shown.idle(wanted, core.networks.find)
        await self._volumes.make(made)
        try:
            self._record(record, name, made)
        except BaseException:
            await self._volumes.unmake(made)
            raise
        return Created(id=id, warnings=warnings)

    def _record(self, record: Record, name: str, made: list[Volume]) -> None:
        """Nothing waits in here: the name stays free between the look and the taking."""
        core = self._core
        record.name = name or random_name(core.names)
        self._check_free(record.name)
        made = [volume for volume in made if not self._volumes.known(volume.name)]
        fresh = {volume.name for volume in made}
        for point in record.mounts:
            if point["Type"] == "volume" and point["Name"] not in fresh:
                self._volumes.get(point["Name"])  # it may have been removed meanwhile
        with core.db.transaction(durable=True):
            self._volumes.record(made)
            core.db.add(record)
        self._volumes.publish(made)
        (core.layout.containers / record.id).mkdir(mode=0o700)
        core.happened(core.add(record), "create")

    def _log_config(self, host: Mapping[str, Any]) -> dict[str, Any]:
        """The platform's choice where the container names no driver: kept, whatever it is later."""
        options = self._core.context.options
        plan = log_plan(
            host, driver=options.get("log_driver") or "json-file", options=options.get("log_options") or {}
        )
        return {"Type": plan.driver, "Config": dict(plan.settings)}

    def _check_free(self, name: str) -> None:
        taken = self._core.names.get(name)
        if taken is not None:
            raise AlreadyExists(
                f'Conflict. The container name "/{name}" is already in use by container "{taken}". You have '
                "to remove (or rename) that container to be able to reuse that name."
            )

    async def _resolve_mounts(self, record: Record) -> list[Volume]:
        """Set the record's plans and mount points; returns the volumes that are to be made."""
        made: dict[str, Volume] = {}
        for found in plan(record.intent, self._mounts_of):
            entry = found
            if found.type == "volume":
                with _not_the_image():
                    wanted = self._volumes.plan(
                        found.source,
                        driver=found.driver,
                        options=dict(found.driver_options),
                        labels=dict(found.labels),
                    )
                entry = replace(found, source=wanted.name, driver=wanted.driver)
                if not self._volumes.known(wanted.name):
                    made.setdefault(wanted.name, wanted)
                if wanted.anonymous:
                    record.volumes.append(wanted.name)
                record.mounts.append(entry.point(wanted.mountpoint))
            elif found.type == "image":
                with _not_the_image():
                    entry = replace(found, image_id=(await self._images.find(found.source)).id)
                record.mounts.append(entry.point())
            else:
                if found.type == "bind":
                    check_source(found)
                    entry = settled(found, self._own_roots)
                record.mounts.append(entry.point())
            record.plans.append(asdict(entry))
        return list(made.values())

    @property
    def _own_roots(self) -> tuple[Path, ...]:
        platform = self._core.context.platform
        return (platform.state, platform.run)

    def _mounts_of(self, ref: str) -> tuple[MountPlan, ...]:
        other = self._core.get(ref).record
        return tuple(MountPlan.load(data) for data in other.plans if data["type"] in ("bind", "volume"))


@contextlib.contextmanager
def _not_the_image() -> Iterator[None]:
    """Clients take a 404 for "no such image", pull the container's own and ask again."""
    try:
        yield
    except NotFound as error:
        raise InvalidArgument(error.message, hint=error.hint) from error


def _shares_network(body: Mapping[str, Any]) -> bool:
    return str(body["HostConfig"].get("NetworkMode") or "").startswith("container:")


def _host_uts(body: Mapping[str, Any]) -> bool:
    return bool(body["HostConfig"].get("UTSMode") == "host")
