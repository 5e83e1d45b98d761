"""The kinds: one abstract class per role in a platform, one file each. Start with the docstrings."""

from moby_py.kinds.api import Api
from moby_py.kinds.engine import Engine
from moby_py.kinds.image_store import ImageStore
from moby_py.kinds.network import Network
from moby_py.kinds.runtime import Runtime
from moby_py.kinds.secrets import Secrets
from moby_py.kinds.volume import VolumeDriver

KINDS: dict[str, type] = {
    k.kind: k for k in (Runtime, ImageStore, Network, VolumeDriver, Secrets, Engine, Api)
}
"""The kinds of the house, in the order of start. A plugin may bring a component of a further kind:
its class then carries the `kind` word and the plugin itself consumes it."""

MANY = frozenset({"runtime", "network", "volume", "api"})
"""Kinds of which a blueprint may name several."""

DEFAULTS = {"volume": "local", "engine": "moby", "api": "docker"}
"""Filled in when the blueprint is silent."""

REQUIRED = ("runtime", "image_store", "network")

__all__ = [
    "DEFAULTS",
    "KINDS",
    "MANY",
    "REQUIRED",
    "Api",
    "Engine",
    "ImageStore",
    "Network",
    "Runtime",
    "Secrets",
    "VolumeDriver",
]
