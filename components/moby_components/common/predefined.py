"""Networks that exist without anyone making them, and need no work to attach: "none" and "host"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from moby_py.errors import Unsupported
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord

SANDBOX = {"none": "empty", "host": "host"}
DRIVER = {"none": "null", "host": "host"}


def records(*names: str) -> tuple[NetworkRecord, ...]:
    """The predefined networks of these names ("host", "none"); the engine gives the ids."""
    return tuple(
        NetworkRecord(id="", name=name, driver=DRIVER[name], sandbox=SANDBOX[name], builtin=True)
        for name in names
    )


def default(driver: str, **more: Any) -> NetworkRecord:
    """The default network, by Docker's name for it on every component so that containers carry over:
    addresses from the engine and, as in Docker, no names. `more` are further fields of the record."""
    return NetworkRecord(
        id="",
        name="bridge",
        driver=driver,
        sandbox="private",
        addressing="engine",
        names="none",
        builtin=True,
        **more,
    )


def idle(request: AttachRequest) -> Attachment:
    """What attaching to "host" or "none" comes to: nothing was taken."""
    return Attachment(
        container_id=request.container_id, network_id=request.network_id, endpoint_id=request.endpoint_id
    )


class PredefinedOnly(Network):
    """A network component that brings only predefined networks: attaching costs nothing."""

    names_of: ClassVar[tuple[str, ...]]

    def predefined(self) -> Sequence[NetworkRecord]:
        return records(*self.names_of)

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        raise Unsupported(
            f"cannot create network {draft.name} - "
            f"network/{self.name} only has {' and '.join(self.names_of)}",
            hint="wire a network component that makes networks into the blueprint",
        )

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        return network

    async def remove(self, network: NetworkRecord) -> None:
        """Nothing was made."""

    async def attach(self, request: AttachRequest) -> Attachment:
        return idle(request)

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        """Nothing was taken."""

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        """Nothing is kept."""
