"""volume/local: folders of this host, or what Docker's options type, o and device mount there."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.volume.local.component import Local

    return [Local]
