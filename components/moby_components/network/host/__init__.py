"""network/host: the host's own network namespace by default; "none" for those who ask."""

from __future__ import annotations

from typing import ClassVar

from moby_components.common.predefined import PredefinedOnly
from moby_py import Component, hookimpl


class HostNetwork(PredefinedOnly):
    """Containers in the host's network, unless they ask for none."""

    name: ClassVar[str] = "host"
    summary: ClassVar[str] = "the host's network, shared"
    names_of: ClassVar[tuple[str, ...]] = ("host", "none")


@hookimpl
def moby_components() -> list[type[Component]]:
    return [HostNetwork]
