"""A plugin file: one toy of every kind. It does nothing, and declares all that a component can declare.

Given to `moby-py` with `--plugin`, it lets the assembler's own steps be tested whatever the built-in
components are doing at the moment.
"""

from __future__ import annotations

import os
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_py import Binary, Component, Feature, PlatformInfo, hookimpl
from moby_py.kinds import KINDS


def toy(kind: str, name: str = "toy", **more: Any) -> type[Component]:
    """A class with every method that the kind asks for; calling one is an error."""
    base = KINDS.get(kind, Component)
    body: dict[str, Any] = {"kind": kind, "name": name, "summary": f"a toy {kind}", "__module__": __name__}
    body.update(more)
    for method in getattr(base, "__abstractmethods__", ()):
        value = getattr(base, method)
        if isinstance(value, property):
            body[method] = property(lambda self: "unix:///toy")
        else:
            body[method] = types.FunctionType(value.__code__, value.__globals__, method, value.__defaults__)
            body[method].__kwdefaults__ = value.__kwdefaults__
            body[method].__annotations__ = value.__annotations__
    return type(f"{name.title()}{kind.title()}", (base,), body)


def native_config(cls: type, options: Mapping[str, Any], platform: PlatformInfo) -> Mapping[str, str]:
    return {"conf.d/toy.toml": f'state = "{platform.state}"\nsize = {options["size"]}\n'}


@hookimpl
def moby_components() -> Sequence[type[Component]]:
    tool = Binary("toy-tool", package="toys", path=os.environ.get("TOY_TOOL", ""))
    return [
        toy(
            "runtime",
            schema="toy-runtime.json",
            requires=("toy-mounts",),
            needs=(tool, Binary("toy-extra", optional=True)),
            native_config=classmethod(native_config),
        ),
        toy("runtime", "bare"),
        toy("image_store", provides=("toy-mounts",), needs=(Feature("overlayfs", optional=True),)),
        toy("network"),
        toy("secrets"),
        toy("engine"),
        toy("api"),
        toy("mesh", requires=("toy-mounts",)),
    ]


@hookimpl
def before_build(blueprint: Mapping[str, Any]) -> None:
    if os.environ.get("TOY_BEFORE"):
        raise ValueError(os.environ["TOY_BEFORE"])


@hookimpl
def after_build(directory: Path) -> None:
    if os.environ.get("TOY_AFTER"):
        (directory / "toy.txt").write_text(os.environ["TOY_AFTER"])
