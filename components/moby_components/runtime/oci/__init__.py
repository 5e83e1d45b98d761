"""Any other program with the OCI command line (youki, kata-runtime, one of your own), by path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby_components.common.ociruntime import CONMON, OciRuntime
from moby_py import Component, hookimpl
from moby_py.component import Context
from moby_py.needs import Binary, Need


class Oci(OciRuntime):
    name = "oci"
    summary = "OCI containers with any runtime program, by path, watched over by conmon"
    needs = (CONMON,)
    features = frozenset(
        {"exec", "tty", "pause", "stats", "cgroups", "seccomp", "devices", "join-namespaces"}
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.features = frozenset(self.options.get("features") or type(self).features)  # type: ignore[misc]

    @classmethod
    def needs_for(cls, options: Mapping[str, Any]) -> tuple[Need, ...]:
        path = str(options.get("path") or "runc")
        return (Binary(Path(path).name, path=path if "/" in path else ""), CONMON)

    @property
    def program(self) -> Path:
        return self._binary(Path(str(self.options.get("path") or "runc")).name)

    def global_arguments(self) -> tuple[str, ...]:
        return tuple(self.options.get("args") or ())


@hookimpl
def moby_components() -> Sequence[type[Component]]:
    return [Oci]
