"""The writable layer of each container: made, found again, looked at, thrown away."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from moby_components.image_store.overlay.archive.layer_tar import write_layer
from moby_components.image_store.overlay.archive.streams import from_writer
from moby_components.image_store.overlay.assembling import Arriving, unpack_all
from moby_components.image_store.overlay.content.documents import parse_manifest
from moby_components.image_store.overlay.content.index import ContainerRow, Image
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.rootfs.changes import list_changes
from moby_components.image_store.overlay.rootfs.mounts import copy_mount, overlay_mount
from moby_components.image_store.overlay.rootfs.view import View
from moby_components.image_store.overlay.rootfs.writable import make_copy, make_upper
from moby_components.image_store.overlay.stock import Stock, layer_name
from moby_components.image_store.overlay.threads import in_thread
from moby_py.errors import InvalidArgument, NotFound
from moby_py.model import Change, FsMount

_ID = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Containers:
    def __init__(self, stock: Stock, layers: Layers) -> None:
        self._stock = stock
        self._layers = layers

    def known(self, container_id: str) -> ContainerRow | None:
        return self._stock.index.container(container_id)

    async def prepare(self, image: Image | None, container_id: str) -> tuple[FsMount, ...]:
        """Make the container's directory unless it is there (then `image` may be gone); the mounts
        that join it with the image's layers."""
        if not _ID.fullmatch(container_id):
            raise InvalidArgument(f"container id {container_id[:80]!r} cannot name a directory")
        stock = self._stock
        with stock.leases.hold((f"container:{container_id}",)) as lease:
            async with stock.locks.hold(f"container:{container_id}"):
                row = stock.index.container(container_id)
                if row is None:
                    if image is None:
                        raise NotFound(f"no such container: {container_id}")
                    stock.config(image.id)  # a damaged one says so here
                    lease.add(*(layer.chain for layer in image.layers))
                    row = await self._make(image, container_id)
        return (self._mount(row),)

    async def _make(self, image: Image, container_id: str) -> ContainerRow:
        stock = self._stock
        chain = image.layers[-1].chain if image.layers else ""
        if len(stock.index.chain(chain)) != len(image.layers):
            await self._unpack_again(image)
        layers = stock.index.chain(chain)
        folder = stock.scratch / f"container-{secrets.token_hex(8)}"
        folder.mkdir(mode=0o700)
        try:
            if stock.mode.name == "copy":
                await in_thread(make_copy, folder, stock.view(chain), lenient=stock.lenient)
            else:
                # Three system calls and a stat: not worth a thread.
                top = stock.layer_path(layers[0]) if layers else None
                make_upper(folder, top, lenient=stock.lenient)
            row = ContainerRow(id=container_id, image=image.id, chain=chain, mode=stock.mode.name)
            stock.trash.throw(stock.containers / container_id)  # without a row: rubbish
            folder.rename(stock.containers / container_id)
            stock.index.put_container(row)
        finally:
            stock.trash.throw(folder)
        return row

    async def _unpack_again(self, image: Image) -> None:
        """A layer's directory was lost; its blob is still there."""
        stock = self._stock
        manifest = parse_manifest(stock.blobs.read(image.manifest), image.manifest)
        arriving = Arriving(manifest=manifest, manifest_digest=image.manifest, config=stock.config(image.id))
        await unpack_all(self._layers, arriving)

    def _mount(self, row: ContainerRow) -> FsMount:
        stock = self._stock
        own = stock.containers / row.id
        if row.mode == "copy":
            return copy_mount(own)
        names = [layer_name(layer.number) for layer in stock.index.chain(row.chain)] or ["empty"]
        return overlay_mount(stock.mode, stock.layers, names, own, stock.layers_fd)

    async def release(self, container_id: str) -> None:
        """Idempotent."""
        stock = self._stock
        async with stock.locks.hold(f"container:{container_id}"):
            row = stock.index.container(container_id)
            if row is None:
                return
            try:
                stock.index.delete_container(container_id)
            except sqlite3.OperationalError:  # a full disk: its files make the room that this needs
                stock.trash.throw(stock.containers / container_id)
                await stock.emptied()
                stock.index.delete_container(container_id)
            stock.trash.throw(stock.containers / container_id)
        stock.empty_later()

    def tree(self, container_id: str) -> tuple[Path, View, bool]:
        """(its own directory, its image, whether that directory is a whole root). Raises NotFound."""
        row = self._stock.index.container(container_id)
        if row is None:
            raise NotFound(f"no such container: {container_id}")
        whole = row.mode == "copy"
        own = self._stock.containers / row.id / ("root" if whole else "upper")
        return own, self._stock.view(row.chain), whole

    async def changes(self, container_id: str) -> list[Change]:
        own, below, whole = self.tree(container_id)
        with self._stock.leases.hold((f"container:{container_id}",)):
            return await in_thread(list_changes, own, below, whole=whole)

    async def diff(self, container_id: str) -> AsyncIterator[bytes]:
        own, below, whole = self.tree(container_id)
        with self._stock.leases.hold((f"container:{container_id}",)):
            async for piece in from_writer(lambda write: write_layer(own, below, write, whole=whole)):
                yield piece

    async def sizes(self) -> dict[str, int]:
        """Bytes of files in each writable layer."""
        found = {}
        for row in self._stock.index.containers():
            own, _, _ = self.tree(row.id)
            found[row.id] = await in_thread(tree_size, own)
        return found


def tree_size(top: Path) -> int:
    """Bytes of regular files below, each inode once; what vanishes meanwhile does not count."""
    total = 0
    seen: set[tuple[int, int]] = set()
    for _, _, files, folder in os.fwalk(top, follow_symlinks=False, onerror=None):
        for name in files:
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            key = (found.st_dev, found.st_ino)
            if stat.S_ISREG(found.st_mode) and (found.st_nlink < 2 or key not in seen):
                seen.add(key)
                total += found.st_size
    return total
