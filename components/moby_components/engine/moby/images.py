"""Images as the engine needs them: found by any word a user types, pulled, removed, committed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.volumes import image_mounts
from moby_py.errors import Conflict, InvalidArgument, NotFound
from moby_py.model import ImageRecord, ProgressSink, RegistryAuth, RemovedImage
from moby_py.reference import parse

_ID = re.compile(r"(sha256:)?[0-9a-f]{4,64}")


class Images:
    def __init__(self, core: Core) -> None:
        self._core = core

    async def find(self, ref: str) -> ImageRecord:
        """By name first, then by id or a prefix of it. Raises NotFound "No such image: REF"."""
        store = self._core.store
        try:
            return await store.inspect(str(parse(ref)))
        except (NotFound, InvalidArgument) as error:
            if _ID.fullmatch(ref):
                try:
                    return await store.inspect(ref)
                except NotFound:
                    pass
            elif isinstance(error, InvalidArgument):
                raise
            raise NotFound(f"No such image: {_shown(ref)}", hint=f"docker pull {ref}") from None

    async def pull(
        self,
        reference: str,
        *,
        platform: str,
        auth: RegistryAuth | None,
        progress: ProgressSink | None,
    ) -> ImageRecord:
        full = parse(reference)
        image = await self._core.store.pull(str(full), platform=platform, auth=auth, progress=progress)
        self._core.events.emit(
            "image", "pull", full.familiar(), {**_labels(image), "name": full.familiar_name()}
        )
        return image

    async def remove(self, ref: str, *, force: bool) -> RemovedImage:
        image = await self.find(ref)
        used = [
            entry.record.image_id for entry in self._core.entries.values() if not force or entry.record.active
        ]
        named = ref if _ID.fullmatch(ref) and image.id.removeprefix("sha256:").startswith(
            ref.removeprefix("sha256:")
        ) else str(parse(ref))  # fmt: skip
        used += [id for entry in self._core.entries.values() for id in image_mounts.images(entry.record)]
        removed = await self._core.store.remove(named, force=force, in_use=used)
        for name in removed.untagged:
            self._core.events.emit("image", "untag", image.id, {"name": _shown(name)})
        for id in removed.deleted:
            if id == image.id:
                self._core.events.emit("image", "delete", image.id, {"name": image.id})
        return removed

    async def commit(
        self,
        ref: str,
        *,
        reference: str,
        author: str,
        message: str,
        config: Mapping[str, Any] | None,
        pause: bool,
    ) -> ImageRecord:
        """The writable layer as an image; the process stands still meanwhile, where it can."""
        core = self._core
        full = str(parse(reference)) if reference else ""
        async with core.locked(ref, "commit") as entry:
            record = entry.record
            runtime = core.runtimes.get(record.runtime)
            freeze = pause and record.status == "running" and runtime and "pause" in runtime.features
            if freeze and runtime is not None:
                try:
                    await runtime.pause(entry.id)
                except Conflict:
                    freeze = False  # it has just ended
            try:
                image = await core.store.commit(
                    entry.id,
                    image=record.image_id,
                    reference=full,
                    config=image_config(record.intent, config or {}),
                    author=author,
                    message=message,
                )
            finally:
                if freeze and runtime is not None:
                    await runtime.resume(entry.id)
            core.happened(entry, "commit", comment=message, imageID=image.id, imageRef=full)
        return image


_KEPT = (
    "User",
    "ExposedPorts",
    "Env",
    "Cmd",
    "Entrypoint",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
)


def image_config(intent: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The image's `config` of a commit: the container's own, with the changes over it."""
    found = {key: intent[key] for key in _KEPT if intent.get(key)}
    for key, value in changes.items():
        if key in ("Labels", "ExposedPorts", "Volumes") and isinstance(value, Mapping):
            found[key] = {**found.get(key, {}), **value}
        elif key == "Env" and value:
            names = {entry.partition("=")[0] for entry in value}
            kept = [e for e in found.get("Env", []) if e.partition("=")[0] not in names]
            found["Env"] = [*kept, *value]
        elif key in _KEPT and value:
            found[key] = value
    return found


def _labels(image: ImageRecord) -> dict[str, str]:
    return dict((image.config.get("config") or {}).get("Labels") or {})


def _shown(ref: str) -> str:
    """With its tag, as Docker says it."""
    try:
        return parse(ref).familiar()
    except InvalidArgument:
        return ref
