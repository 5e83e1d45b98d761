"""The store's rooms on the disk and what is in them, shared by everything that works there.

STATE/index.db          what there is (written last)
STATE/blobs/sha256/...  manifests, configs and layers as registries know them
STATE/l/1a              one unpacked layer, a lower of overlayfs (short names: see rootfs/mounts.py)
STATE/containers/ID     upper/ and work/, or root/ where layers are copied
STATE/tmp               half-done work; swept at `open`
STATE/trash             deleted, not yet gone
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from pathlib import Path
from typing import Any

from moby_components.common.tree.limits import Limits
from moby_components.image_store.overlay.content.blobs import Blobs
from moby_components.image_store.overlay.content.documents import parse_config
from moby_components.image_store.overlay.content.index import Index, Layer
from moby_components.image_store.overlay.content.leases import Leases, Locks
from moby_components.image_store.overlay.content.trash import Trash
from moby_components.image_store.overlay.rootfs import marks
from moby_components.image_store.overlay.rootfs.modes import Mode, choose
from moby_components.image_store.overlay.rootfs.view import View
from moby_components.image_store.overlay.threads import in_thread
from moby_py.errors import Unavailable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Stock:
    """Opened once per daemon: a second one on the same directory is refused."""

    def __init__(
        self, state: Path, *, rootless: bool, limits: Limits, log: logging.Logger, mode: str = "auto"
    ) -> None:
        self.state = state
        self.rootless = rootless
        self.limits = limits
        self.log = log
        self.scratch = state / "tmp"
        self.layers = state / "l"
        self.containers = state / "containers"
        self.blobs = Blobs(state / "blobs", self.scratch)
        self.trash = Trash(state / "trash", log)
        self.leases = Leases()
        self.locks = Locks()
        self.boot = _BOOT_ID.read_text(encoding="ascii").strip()
        self._wanted_mode = mode
        self._configs: dict[str, dict[str, Any]] = {}
        self._damaged: set[str] = set()
        self._resources = contextlib.ExitStack()
        self.index: Index
        self.mode: Mode
        self.layers_fd = -1
        self._emptying: asyncio.Task[None] | None = None
        self._again = False

    @property
    def lenient(self) -> bool:
        """Whether owners and devices may be out of reach here."""
        return self.rootless or os.geteuid() != 0

    def open(self) -> None:
        """Make the rooms, take the lock, find the mode. Raises Unavailable. Blocks for milliseconds."""
        with contextlib.ExitStack() as stack:
            for room in (self.scratch, self.layers, self.containers, self.state / "trash"):
                room.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.layers / "empty").mkdir(mode=0o755, exist_ok=True)
            stack.callback(os.close, self._lock())
            self.index = Index(self.state / "index.db")
            stack.callback(self.index.close)
            self.layers_fd = os.open(self.layers, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, self.layers_fd)
            self.mode = choose(self.scratch, rootless=self.rootless, wanted=self._wanted_mode)
            self._respell_marks()
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Idempotent."""
        self._resources.close()

    def _lock(self) -> int:
        lock = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Unavailable(
                f"the image store {self.state} is in use - another daemon has it open",
                hint="stop the other daemon, or give this one a state directory of its own",
            ) from None
        return lock

    def _respell_marks(self) -> None:
        """Layers that were unpacked under another mode hide what they hid: opaque directories are
        marked again in the spelling of this mode."""
        before = self.index.meta("prefix")
        if before and before != self.mode.prefix:
            for layer in self.index.layers():
                for path in layer.opaque:
                    folder = os.open(self.layer_path(layer) / path, os.O_RDONLY | os.O_NOFOLLOW)
                    try:
                        marks.make_opaque(folder, self.mode.prefix)
                    finally:
                        os.close(folder)
        self.index.set_meta("prefix", self.mode.prefix)

    # -- the bin -----------------------------------------------------------------------------------

    def empty_later(self) -> None:
        """What was thrown away is deleted in the background; `close` waits for it."""
        if self._emptying is None or self._emptying.done():
            self._emptying = asyncio.ensure_future(self._empty())
        else:
            self._again = True

    async def emptied(self) -> None:
        """The bin is empty, as far as it can be."""
        self.empty_later()
        if self._emptying is not None:
            await asyncio.shield(self._emptying)

    async def _empty(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            await in_thread(self.trash.empty)

    # -- layers ----------------------------------------------------------------------------------

    def layer_path(self, layer: Layer) -> Path:
        return self.layers / layer_name(layer.number)

    def view(self, chain: str) -> View:
        """The layers of a chain as one tree; "" is an empty one."""
        return View([os.fsencode(self.layer_path(layer)) for layer in self.index.chain(chain)])

    # -- documents -------------------------------------------------------------------------------

    def config(self, image_id: str) -> dict[str, Any]:
        """An image's config, parsed and checked once. Raises NotFound, DataError."""
        found = self._configs.get(image_id)
        if found is None:
            found = self._configs[image_id] = parse_config(self.blobs.read(image_id), image_id)
        return found

    def tell_damaged(self, image_id: str, error: Exception) -> None:
        """In the log, once for each image."""
        if image_id not in self._damaged:
            self._damaged.add(image_id)
            self.log.warning("image_store: %s", error)

    def forget(self, image_id: str) -> None:
        self._configs.pop(image_id, None)


def layer_name(number: int) -> str:
    """A short directory name.

    >>> layer_name(36), layer_name(71)
    ('10', '1z')
    """
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    name = ""
    while number:
        number, digit = divmod(number, 36)
        name = digits[digit] + name
    return name or "0"
