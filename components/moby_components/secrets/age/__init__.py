"""secrets/age: values encrypted to an age identity, through the maintained binding pyrage."""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.secrets.age.component import Age

    return [Age]
