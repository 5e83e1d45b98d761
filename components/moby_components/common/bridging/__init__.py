"""Bridge networks in one network namespace (the "world"): the host's own, or one that somebody made.

    bridges = Bridges("demo", world="", log=log)        network/bridge; network/pasta gives a namespace
    await bridges.open()
    await bridges.create(network)                       bridge, gateway addresses, a few set elements
    await bridges.attach(request)                       veth, addresses, routes, published ports

Everything made here is recognisable: interfaces begin with mb/mv and five letters of the platform, rules
are in tables named after it (`inet moby-py-NAME`; `bridge moby-py-NAME` for what a neighbour could
forge), and all of it can be rebuilt from the engine's records alone.
"""

from moby_components.common.bridging.bridges import Bridges
from moby_components.common.bridging.network import BridgedNetwork
from moby_components.common.bridging.plan import Defaults

__all__ = ["BridgedNetwork", "Bridges", "Defaults"]
