"""What the component is made of, imported when one is made: `build`, `check` and `components` only look
at the class, and stay quick."""

from moby_components.common.tree.limits import Limits
from moby_components.image_store.overlay import records, removal
from moby_components.image_store.overlay.archive.load import load
from moby_components.image_store.overlay.archive.save import save
from moby_components.image_store.overlay.containers import Containers
from moby_components.image_store.overlay.content.index import Image
from moby_components.image_store.overlay.layers import Layers
from moby_components.image_store.overlay.making import Maker
from moby_components.image_store.overlay.pull import Puller
from moby_components.image_store.overlay.push import push
from moby_components.image_store.overlay.registry_client import RegistryClient, RegistryOptions
from moby_components.image_store.overlay.stock import Stock
from moby_components.image_store.overlay.threads import in_thread

__all__ = [
    "Containers",
    "Image",
    "Layers",
    "Limits",
    "Maker",
    "Puller",
    "RegistryClient",
    "RegistryOptions",
    "Stock",
    "in_thread",
    "load",
    "push",
    "records",
    "removal",
    "save",
]
