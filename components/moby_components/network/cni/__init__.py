"""network/cni: networks by the plugins of the Container Network Interface, https://www.cni.dev

Any chain of plugins by the CNI specification 1.0: ADD, CHECK, DEL, and GC where the plugins speak 1.1.
"""

from __future__ import annotations

from moby_components.network.cni.component import Cni
from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    return [Cni]
