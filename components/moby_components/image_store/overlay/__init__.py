"""image_store/overlay: a content-addressed OCI store, unpacked once, joined by overlayfs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moby_py import hookimpl

if TYPE_CHECKING:
    from moby_py import Component


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.image_store.overlay.store import Overlay

    return [Overlay]
