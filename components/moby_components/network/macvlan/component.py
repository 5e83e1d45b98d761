"""network/macvlan: each container gets a macvlan link of a parent interface, made in its sandbox.

Nothing of it stays on the host: the link goes with the sandbox. As with Docker, the host itself cannot
be reached over it, published ports are ignored (a container has the LAN's addresses), a network without
a parent is internal, and a parent serves one network.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, ParamSpec, TypeVar

from moby_components.common.netlink import (
    Netlink,
    add_address,
    add_route,
    delete_link,
    list_links,
    set_link,
)
from moby_components.common.netns import in_netns
from moby_components.common.predefined import default as default_network
from moby_components.common.predefined import idle, records
from moby_components.network.macvlan import parents
from moby_components.network.macvlan.links import MODES, add_macvlan
from moby_py import Context
from moby_py.errors import Conflict, InvalidArgument, MobyError, NotFound, RuntimeFailed, Unavailable
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord
from moby_py.needs import Feature, Need

P = ParamSpec("P")
T = TypeVar("T")
_MTU = "com.docker.network.driver.mtu"
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


class Macvlan(Network):
    """Docker's macvlan driver, over netlink."""

    name: ClassVar[str] = "macvlan"
    summary: ClassVar[str] = "containers on the host's LAN, each with a MAC of its own"
    drivers: ClassVar[tuple[str, ...]] = ("macvlan",)
    needs: ClassVar[tuple[Need, ...]] = (Feature("root", why="macvlan interfaces"),)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._owner = f"{context.platform.name} {context.id}"
        self._networks: dict[str, tuple[NetworkRecord, str]] = {}
        """id -> record and the parent that is really used."""

    def predefined(self) -> Sequence[NetworkRecord]:
        """Without a parent nobody is on the LAN unasked, nor on the host's network."""
        parent = str(self.options.get("parent") or "")
        if not parent:
            return records("none", "host")
        config = {
            "Subnet": self.options.get("subnet"),
            "IPRange": self.options.get("ip_range"),
            "Gateway": self.options.get("gateway"),
        }
        pools: list[dict[str, str]] = [{key: str(value) for key, value in config.items() if value}]
        six = self.options.get("subnet6")
        if six:
            pools.append({"Subnet": str(six)})
        default = default_network(
            "macvlan",
            ipv6=bool(six),
            ipam={"Driver": "default", "Options": None, "Config": [pool for pool in pools if pool]},
            options={"parent": parent, "macvlan_mode": str(self.options.get("mode") or "bridge")},
        )
        return (default, *records("host", "none"))

    async def plan(self, draft: NetworkRecord) -> NetworkRecord:
        options = draft.options
        parent, mode = options.get("parent", ""), options.get("macvlan_mode") or "bridge"
        if mode not in MODES:
            raise InvalidArgument(f"invalid macvlan_mode: {mode} - it is one of {', '.join(sorted(MODES))}")
        if parent and not _INTERFACE.fullmatch(parent):
            raise InvalidArgument(f"invalid parent: {parent!r} is no interface name")
        if parent == "lo":
            raise InvalidArgument("invalid parent: lo - the loopback interface carries no macvlan")
        _mtu(options)
        for other, used in self._networks.values():
            if parent and used == parent and other.id != draft.id:
                raise Conflict(
                    f"network {other.name} is already using parent interface {parent}",
                    hint="take a VLAN of it: -o parent=eth0.10",
                )
        return replace(
            draft,
            sandbox="private",
            addressing="engine",
            names="engine",
            internal=draft.internal or not parent,
            options={**options, "macvlan_mode": mode},
        )

    async def create(self, network: NetworkRecord) -> NetworkRecord:
        if network.sandbox != "private":
            return network
        wanted = network.options.get("parent", "")
        parent = await asyncio.to_thread(
            _told, network, parents.ensure, self._owner, network.name, network.id, wanted
        )
        self._networks[network.id] = (network, parent)
        return network

    async def remove(self, network: NetworkRecord) -> None:
        self._networks.pop(network.id, None)
        await asyncio.to_thread(parents.remove, self._owner, network.id)

    async def attach(self, request: AttachRequest) -> Attachment:
        if request.network.sandbox != "private":
            return idle(request)
        parent = self._networks[request.network_id][1]
        if request.ports:
            self.log.warning(
                "network %s: published ports of %s are ignored - on a macvlan network it is reached at "
                "its own address",
                request.network.name,
                request.container_name,
            )
        if not await in_netns(request.sandbox.path, lambda: _there(request)):
            await asyncio.to_thread(_told, request.network, _make, request, parent)
        try:
            await in_netns(request.sandbox.path, lambda: _told(request.network, _furnish, request))
        except BaseException:
            await asyncio.shield(in_netns(request.sandbox.path, lambda: _drop(request)))
            raise
        return Attachment(
            container_id=request.container_id,
            network_id=request.network_id,
            endpoint_id=request.endpoint_id,
            interface=request.interface,
            mac=request.mac,
            ipv4=request.ipv4,
            ipv6=request.ipv6,
            gateway4=request.gateway4,
            gateway6=request.gateway6,
        )

    async def detach(self, request: AttachRequest, attachment: Attachment | None) -> None:
        """A sandbox that is gone took its link along."""
        if request.network.sandbox == "private":
            try:
                await in_netns(request.sandbox.path, lambda: _drop(request))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EINVAL):
                    raise

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in endpoints:
            request = endpoint.request
            if request.network.sandbox != "private" or not Path(request.sandbox.path).exists():
                continue
            try:
                if not await in_netns(request.sandbox.path, lambda r=request: _there(r)):  # type: ignore[misc]
                    await self.attach(request)
            except (MobyError, OSError) as error:
                self.log.error("network %s: %s", request.network.name, error)
        await asyncio.to_thread(parents.sweep, self._owner, set(self._networks))

    async def close(self) -> None:
        """Nothing is kept open."""
        self._networks.clear()


def _told(network: NetworkRecord, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """`work`, its kernel errors in words. Raises Unavailable, NotFound, RuntimeFailed."""
    try:
        return work(*args, **more)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        parent = network.options.get("parent", "")
        if error.errno == errno.EOPNOTSUPP:
            raise Unavailable(
                f"network {network.name}: this kernel has no macvlan", hint="modprobe macvlan"
            ) from error
        if error.errno in (errno.EBUSY, errno.EINVAL) and parent:
            raise RuntimeFailed(
                f"network {network.name}: no macvlan on {parent} - {reason}",
                hint="a bridge's port carries no macvlan; with macvlan_mode passthru one container has it",
            ) from error
        raise RuntimeFailed(f"network {network.name}: macvlan failed - {reason}") from error


def _make(request: AttachRequest, parent: str) -> None:
    """The link, in the sandbox. Raises NotFound, NetlinkError."""
    try:
        index = socket.if_nametoindex(parent)
    except OSError:
        raise NotFound(f"network {request.network.name}: parent interface {parent} is gone") from None
    sandbox = os.open(request.sandbox.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with Netlink() as netlink:
            message = add_macvlan(
                request.interface,
                parent=index,
                mode=request.network.options.get("macvlan_mode") or "bridge",
                mac=request.mac,
                mtu=_mtu(request.network.options),
                sandbox=sandbox,
            )
            netlink.send([message])
    finally:
        os.close(sandbox)


def _furnish(request: AttachRequest) -> None:
    """Addresses and routes, in the sandbox. Idempotent."""
    index = socket.if_nametoindex(request.interface)
    addresses = [address for address in (request.ipv4, request.ipv6) if address]
    routes = []
    if request.default_route and not request.network.internal:
        pairs = ((request.gateway4, request.ipv4, "0.0.0.0/0"), (request.gateway6, request.ipv6, "::/0"))
        routes = [add_route(index, to, gateway) for gateway, address, to in pairs if gateway and address]
    with Netlink() as netlink:
        netlink.send(
            [
                set_link("lo", up=True),
                *(add_address(index, address) for address in addresses),
                set_link(index=index, up=True),
                *routes,
            ]
        )


def _there(request: AttachRequest) -> bool:
    """Whether the sandbox has this endpoint's link; another of that name is no macvlan of ours."""
    with Netlink() as netlink:
        return any(
            link.name == request.interface and link.kind == "macvlan" and link.mac == request.mac
            for link in list(list_links(netlink))
        )


def _drop(request: AttachRequest) -> None:
    if _there(request):
        with Netlink() as netlink:
            netlink.send([delete_link(request.interface)])


def _mtu(options: Mapping[str, str]) -> int:
    text = options.get(_MTU, "")
    if not text:
        return 0
    if not text.isdecimal() or not 68 <= int(text) <= 65535:
        raise InvalidArgument(f"invalid {_MTU}: {text} - it is a number from 68 to 65535")
    return int(text)
