"""Published ports without rules in the kernel: a process that listens here and connects there.

    forwarder = Forwarder(run, log)                   Component.services: [forwarder.service()]
    await forwarder.open()                            Component.open
    await forwarder.sync(ports)                       Network.recover: exactly these, whatever was
    bound = await forwarder.publish(port)             Network.attach
    await forwarder.withdraw("KEY")                   Network.detach
    await forwarder.close()                           Component.close; ports stay published

The process listens in the network namespace of the daemon and connects from `Port.world`, where the
container's address is. It outlives a killed daemon; when it is itself killed, the client publishes
everything again as soon as another one runs.
"""

from moby_components.common.forward.client import Forwarder
from moby_components.common.forward.port import Port

__all__ = ["Forwarder", "Port"]
