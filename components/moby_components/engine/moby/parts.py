"""What the facade is made of, imported when an engine opens: `build`, `check` and `components` only look
at the class, and stay quick."""

from moby_components.engine.moby.archives.copying import Archives
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.execs import Execs
from moby_components.engine.moby.health.monitor import Health
from moby_components.engine.moby.images import Images
from moby_components.engine.moby.info import info
from moby_components.engine.moby.lifecycle import release
from moby_components.engine.moby.lifecycle.create import Creator
from moby_components.engine.moby.lifecycle.recover import Recovery
from moby_components.engine.moby.lifecycle.release import Releaser
from moby_components.engine.moby.lifecycle.remove import Remover
from moby_components.engine.moby.lifecycle.start import Starter
from moby_components.engine.moby.lifecycle.stop import Stopper, check_condition
from moby_components.engine.moby.lifecycle.watch import Watcher
from moby_components.engine.moby.listing import select
from moby_components.engine.moby.logs.reader import read_log
from moby_components.engine.moby.logs.rotate import Rotator
from moby_components.engine.moby.logs.shipping import Shipping
from moby_components.engine.moby.looking import Looking
from moby_components.engine.moby.streams.attach import attach
from moby_components.engine.moby.volumes import Volumes
from moby_components.engine.moby.volumes.image_mounts import everything_prepared as prepared

__all__ = [
    "Archives",
    "Core",
    "Creator",
    "Execs",
    "Health",
    "Images",
    "Looking",
    "Recovery",
    "Releaser",
    "Remover",
    "Rotator",
    "Shipping",
    "Starter",
    "Stopper",
    "Volumes",
    "Watcher",
    "attach",
    "check_condition",
    "info",
    "prepared",
    "read_log",
    "release",
    "select",
]
