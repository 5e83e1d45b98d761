"""The `network` kind: makes networks real and joins containers to them.

    class Bridge(Network):                      docker network create -d bridge --subnet 10.5.0.0/16 app
        name = "bridge"                           plan(draft)      options checked, defaults filled in
        drivers = ("bridge",)                     create(network)  the bridge and its rules exist
                                                docker run --network app
                                                  attach(request)  veth, addresses, routes, ports
                                                  detach(request)  all of that gone

The records are the engine's: it keeps name, id, options and address pools of every network, and the
request and the answer of every attach, in its own database. So a platform whose blueprint names
another component goes on with the same networks, names and addresses, and a component needs no
database. After each start of the daemon the engine calls `create` for every network and then `recover`
once, which is also how everything comes back after a reboot.

Of all network components of a platform the first is the default: its first predefined network is
where containers go that ask for none. `docker network create -d WORD` goes to the first component
that lists the word in `drivers`; without `-d` (the docker command then says "bridge") to the default.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from moby_py.component import Component
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord


class Network(Component):
    """All methods may be called concurrently. Errors are MobyError; their text reaches the user."""

    kind = "network"
    drivers: ClassVar[tuple[str, ...]] = ()
    """Driver words that `docker network create -d` may give it; empty: it makes no networks of the
    user's. A component for ordinary networks lists "bridge", which is what clients say by default."""
    live: ClassVar[bool] = True
    """Whether a running container may be connected and disconnected."""

    own_names: ClassVar[bool] = False
    """Brings name resolution of its own: the platform needs no resolver for its networks."""

    def takes(self, driver: str) -> bool:
        """Whether it makes networks for this driver word; override where the words are found at run
        time (plugins)."""
        return driver in self.drivers

    @property
    def world(self) -> str:
        """The network namespace file in which its bridges and gateways live; "": the host's own."""
        return ""

    @abstractmethod
    def predefined(self) -> Sequence[NetworkRecord]:
        """The networks that exist without anyone making them, the default one first; `plan` is not
        called for them, `create` is. `id` stays empty: the engine gives it. No I/O."""

    @abstractmethod
    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        """The network as it will be: `sandbox`, `addressing`, `names` and defaults of options set. No
        side effect. Raises InvalidArgument (an option it does not know), Unsupported."""

    @abstractmethod
    async def create(self, network: NetworkRecord) -> NetworkRecord:
        """Make it real. Idempotent: called when it is made and again after each start of the daemon,
        when all, some or nothing of it may be there. May complete `ipam` where `addressing` is
        "component". A failed create leaves nothing behind."""

    @abstractmethod
    async def remove(self, network: NetworkRecord) -> None:
        """Take down what `create` made. Idempotent. The engine has made sure nobody is attached."""

    @abstractmethod
    async def attach(self, request: AttachRequest) -> Attachment:
        """Join. Idempotent for the same container and network. A failed attach leaves nothing behind.
        Raises Conflict for a host port that is taken ("... port is already allocated")."""

    @abstractmethod
    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        """Leave: interface, rules and ports go. Idempotent; the sandbox may be gone already, and
        `attachment` is None where the attach did not come to its end."""

    @abstractmethod
    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        """After a start of the daemon, once `create` was called for all networks: these endpoints live
        on. Take up their ports again, mend what is missing, remove everything of ours that belongs to
        none of them."""
