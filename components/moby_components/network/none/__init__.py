"""network/none: a loopback of its own for each container, and nothing else."""

from __future__ import annotations

from typing import ClassVar

from moby_components.common.predefined import PredefinedOnly
from moby_py import Component, hookimpl


class NoNetwork(PredefinedOnly):
    """Containers without a network."""

    name: ClassVar[str] = "none"
    summary: ClassVar[str] = "no network: a loopback per container"
    names_of: ClassVar[tuple[str, ...]] = ("none",)


@hookimpl
def moby_components() -> list[type[Component]]:
    return [NoNetwork]
