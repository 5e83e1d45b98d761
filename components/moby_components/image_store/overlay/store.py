"""The component: each of the kind's methods, handed to the module that does it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from moby_py.component import Context
from moby_py.kinds import ImageStore
from moby_py.kinds.image_store import Bytes
from moby_py.model import (
    Change,
    CollectReport,
    ImageRecord,
    ProgressSink,
    RegistryAuth,
    RemovedImage,
    RootFS,
    StoreUsage,
)
from moby_py.needs import Feature, Need
from moby_py.reference import parse

if TYPE_CHECKING:
    from moby_components.image_store.overlay.content.index import Image

_SETTLE = 30.0
"""Seconds after which the disk is asked to have written everything: by then most of it has been."""


class Overlay(ImageStore):
    """Images as OCI content in STATE, containers' roots as overlay mounts."""

    name: ClassVar[str] = "overlay"
    summary: ClassVar[str] = "OCI images by digest, layers joined by overlayfs"
    provides: ClassVar[tuple[str, ...]] = ("oci-mounts",)
    needs = (Feature(name="overlayfs", why="joins image layers without copying them", optional=True),)

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        wanted = options.get("mode") == "overlay"
        return tuple(replace(need, optional=not wanted) for need in cls.needs)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        from moby_components.image_store.overlay import parts

        self._parts = parts
        options = context.options
        self._stock = self._parts.Stock(
            context.dirs.state,
            rootless=context.platform.rootless,
            limits=self._parts.Limits.from_options(options),
            log=context.log,
            mode=str(options.get("mode", "auto")),
        )
        self._client = self._parts.RegistryClient(
            self._parts.RegistryOptions(
                insecure=tuple(options.get("insecure_registries", ())),
                mirrors={name: tuple(urls) for name, urls in options.get("mirrors", {}).items()},
            )
        )
        self._open = False
        self._settling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        if self._open:
            return
        stock = self._stock
        stock.open()
        try:
            self._parts.removal.sweep_at_open(stock)
        except BaseException:
            stock.close()
            raise
        self._layers = self._parts.Layers(stock)
        self._containers = self._parts.Containers(stock, self._layers)
        self._maker = self._parts.Maker(stock, self._layers, self._containers)
        parallel = int(self.options.get("parallel_downloads", 3))
        self._puller = self._parts.Puller(stock, self._layers, self._client, parallel)
        self._open = True
        await stock.emptied()
        if stock.mode.name == "copy":
            self.log.warning("image_store: %s", self.describe())
        self._settle_later()

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._settling is not None:
            self._settling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._settling
        await self._client.close()
        await self._stock.emptied()
        self._stock.close()

    def describe(self) -> str:
        """How containers get their roots here, in one line: for `check` and `info`."""
        mode = self._stock.mode
        words = {
            "overlay": "overlayfs",
            "userxattr": "overlayfs in a user namespace",
            "copy": "overlayfs is not used: every container gets a copy of its image",
        }
        return words[mode.name] + (f" ({mode.why})" if mode.why else "")

    # -- images ----------------------------------------------------------------------------------

    async def pull(
        self,
        reference: str,
        *,
        platform: str = "",
        auth: RegistryAuth | None = None,
        progress: ProgressSink | None = None,
    ) -> ImageRecord:
        async with self._swept():
            return self._made(await self._puller.pull(reference, platform, auth, progress))

    async def push(
        self, reference: str, *, auth: RegistryAuth | None = None, progress: ProgressSink | None = None
    ) -> str:
        return await self._parts.push(self._stock, self._client, reference, auth, progress)

    async def list(self) -> Sequence[ImageRecord]:
        found = [self._parts.records.show(self._stock, image) for image in self._stock.index.images()]
        return sorted(found, key=lambda record: record.created, reverse=True)

    async def inspect(self, ref: str) -> ImageRecord:
        return self._parts.records.show(self._stock, self._parts.records.find(self._stock, ref))

    async def tag(self, ref: str, reference: str) -> None:
        image = self._parts.records.find(self._stock, ref)
        name = parse(reference)
        self._stock.index.tag(image.id, str(name.with_tag(name.tag)))

    async def remove(self, ref: str, *, force: bool = False, in_use: Sequence[str] = ()) -> RemovedImage:
        return await self._parts.removal.remove(self._stock, ref, force=force, in_use=in_use)

    async def load(self, data: Bytes, *, progress: ProgressSink | None = None) -> Sequence[ImageRecord]:
        async with self._swept():
            images = await self._parts.load(self._stock, self._layers, data, progress)
            return [self._made(image) for image in images]

    def save(self, refs: Sequence[str]) -> Bytes:
        return self._parts.save(self._stock, refs)

    async def import_(
        self, data: Bytes, *, reference: str = "", config: Mapping[str, Any] | None = None, message: str = ""
    ) -> ImageRecord:
        async with self._swept():
            return self._made(await self._maker.import_(data, reference, config or {}, message))

    async def import_from_host(self, programs: Sequence[str], reference: str) -> ImageRecord:
        """An image of this host's own programs with the libraries they need; beyond the contract.
        Raises NotFound for a program that the host does not have."""
        from moby_components.image_store.overlay.host.image import from_host

        return await from_host(self, programs, reference)

    async def commit(
        self,
        container_id: str,
        *,
        image: str,
        reference: str = "",
        config: Mapping[str, Any] | None = None,
        author: str = "",
        message: str = "",
    ) -> ImageRecord:
        base = self._parts.records.find(self._stock, image)
        async with self._swept():
            made = await self._maker.commit(container_id, base, reference, config or {}, author, message)
            return self._made(made)

    # -- containers ------------------------------------------------------------------------------

    async def prepare(self, image: str, container_id: str) -> RootFS:
        row = self._containers.known(container_id)
        found = None if row else self._parts.records.find(self._stock, image)
        mounts = await self._containers.prepare(found, container_id)
        return RootFS(image=image, mounts=mounts)

    async def release(self, container_id: str) -> None:
        await self._containers.release(container_id)

    async def changes(self, container_id: str) -> Sequence[Change]:
        return await self._containers.changes(container_id)

    def diff(self, container_id: str) -> Bytes:
        return self._containers.diff(container_id)

    async def usage(self) -> StoreUsage:
        stock = self._stock
        images = {image.id: self._parts.records.size_of(stock, image) for image in stock.index.images()}
        return StoreUsage(
            layers=sum(layer.size for layer in stock.index.layers()),
            images=images,
            containers=await self._containers.sizes(),
        )

    async def collect(self, *, containers: Sequence[str]) -> CollectReport:
        return await self._parts.removal.collect(self._stock, containers)

    # -- inside ----------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _swept(self) -> AsyncIterator[None]:
        """What a failed operation brought in goes away with it."""
        try:
            yield
        except BaseException:
            if self._open:
                self._parts.removal.sweep(self._stock)
                await self._stock.emptied()
            raise

    def _made(self, image: Image) -> ImageRecord:
        self._settle_later()
        return self._parts.records.show(self._stock, image)

    def _settle_later(self) -> None:
        if self._settling is None or self._settling.done():
            self._settling = asyncio.ensure_future(self._settle())

    async def _settle(self) -> None:
        """Until this has happened, a power failure makes the next start forget the newest images."""
        while pending := [image.id for image in self._stock.index.images() if image.boot]:
            await asyncio.sleep(_SETTLE)
            await self._parts.in_thread(_syncfs, self._stock.state)
            self._stock.index.settle(pending)


def _syncfs(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)
