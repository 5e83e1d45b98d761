"""network/remote: networks by Docker's network plugins (libnetwork's remote driver protocol)."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.network.remote.component import Remote

    return [Remote]
