"""The networks and endpoints of one world, and what they come to in the kernel.

What is wanted is kept here in memory and comes from the engine's records after a start; the kernel's
side is made from it step by step, or whole (`recover`). A change of the rules that the kernel refuses -
somebody flushed the ruleset - is answered by loading them whole.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace

from moby_components.common import netlink
from moby_components.common.bridging import legs, names, rules, sysctls
from moby_components.common.bridging.hostfirewall import LEAVE, HostFirewall
from moby_components.common.bridging.legs import Leg
from moby_components.common.bridging.plan import Defaults, Plan, make_plan
from moby_components.common.bridging.ports import Ports
from moby_components.common.bridging.relay import Relay
from moby_components.common.bridging.watch import Watch
from moby_components.common.bridging.world import World
from moby_components.common.netlink import conntrack
from moby_components.common.nft import NftError
from moby_py.errors import Conflict, MobyError, Unavailable
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord


class Bridges:
    """The `network` contract for bridge networks in the namespace `world` ("": the host's own).

    `platform` names interfaces and tables; `part` tells two worlds of one platform apart;
    `host_firewall` is a mode of `hostfirewall`. All methods may be called concurrently, from one event
    loop; the work is done by the world's thread.
    """

    def __init__(
        self,
        platform: str,
        *,
        world: str = "",
        part: str = "",
        defaults: Defaults | None = None,
        host_firewall: str = LEAVE,
        log: logging.Logger | None = None,
    ) -> None:
        self.table = names.table(platform, part)
        self.tag = names.tag(self.table)
        self.defaults = defaults or Defaults()
        self._log = log or logging.getLogger(__name__)
        self._world = World(world)
        self._ports = Ports()
        self._plans: dict[str, Plan] = {}
        self._legs: dict[str, Leg] = {}
        self._firewall = HostFirewall(host_firewall, self.tag, self._log)
        self._watch = Watch(self._world, self._look_again, self._log)
        self._relays: dict[str, Relay] = {}
        self._loaded = False

    def plan(self, draft: NetworkRecord) -> NetworkRecord:
        """The record completed. Raises InvalidArgument. No side effect."""
        make_plan(draft, self.tag, self.defaults)
        return replace(draft, sandbox="private", addressing="engine", names="engine")

    async def open(self) -> None:
        """Rules of an earlier life stay in force until `recover` replaces them."""
        await self._watch.open()

    async def close(self) -> None:
        """Let go of sockets and threads. Where no container is left, everything else goes too."""
        await self._watch.close()
        for relay in self._relays.values():
            await relay.close()
        self._relays.clear()
        if not self._legs:
            await self._world.run(self._clear)
        await self._world.run(self._ports.close)
        await self._world.close()
        self._plans.clear()
        self._legs.clear()
        self._loaded = False

    async def create(self, record: NetworkRecord) -> None:
        await self._world.run(lambda: self._create(record))
        await self._world.run(self._tell_firewall)

    async def remove(self, record: NetworkRecord) -> None:
        await self._world.run(lambda: self._remove(record))
        await self._world.run(self._tell_firewall)

    async def attach(self, request: AttachRequest) -> Attachment:
        try:
            attachment = await self._world.run(lambda: self._attach(request))
        except BaseException as error:
            if not isinstance(error, MobyError):  # cancelled: it may have come to its end all the same
                await self.detach(request)
            raise
        await self._relay(_key(request))
        return attachment

    async def detach(self, request: AttachRequest) -> None:
        relay = self._relays.pop(_key(request), None)
        if relay:
            await relay.close()
        await self._world.run(lambda: self._detach(request))

    async def recover(self, endpoints: Sequence[Endpoint]) -> None:
        await self._world.run(lambda: self._recover(endpoints))
        for key in list(self._legs):
            await self._relay(key)

    async def _relay(self, key: str) -> None:
        """Accept at the sockets that hold the endpoint's ports; idempotent while they are the same."""
        listeners, old = self._ports.listeners(key), self._relays.get(key)
        if old and old.listeners == listeners:
            return
        if old:
            del self._relays[key]
            await old.close()
        leg = self._legs.get(key)
        if leg and listeners:
            self._relays[key] = Relay(self._connect, self._log, listeners, leg.address)

    async def _connect(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = await self._world.run(lambda: socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException:
            made.close()
            raise
        return made

    async def _look_again(self) -> None:
        """Somebody changed the host's rules: ours may be gone, a dockerd may have come."""
        await self._world.run(self._mend)

    # -- in the world's thread -----------------------------------------------------------------

    def _create(self, record: NetworkRecord) -> Plan:
        plan = make_plan(record, self.tag, self.defaults)
        other = next((p for p in self._plans.values() if p.bridge == plan.bridge and p.id != plan.id), None)
        if other:
            raise Conflict(f"network {other.name} ({other.id}) uses the bridge {plan.bridge} already")
        before = self._plans.get(plan.id)
        existed = bool(self._world.index(plan.bridge))
        try:
            self._make_bridge(plan)
            self._plans[plan.id] = plan
            if self._loaded and before != plan:
                gone = rules.of_network(before) if before else []
                self._change(remove=gone, add=rules.of_network(plan))
        except (OSError, MobyError) as error:
            if not before:
                self._plans.pop(plan.id, None)
                if not existed:
                    self._world.delete_links([plan.bridge])
            raise _explained(error, f"cannot make network {record.name}") from error
        return plan

    def _make_bridge(self, plan: Plan) -> None:
        link = self._link(plan.bridge)
        if link and link.kind != "bridge":
            raise Conflict(f"{plan.bridge} exists and is not a bridge")
        if not link:
            self._world.netlink.send(
                [
                    netlink.add_bridge(plan.bridge, mac=plan.mac, mtu=plan.mtu),
                    netlink.set_link(plan.bridge, alias=self._alias(plan.id)),
                ]
            )
        sysctls.forward(self._log, ipv6=plan.ipv6)
        sysctls.of_bridge(plan.bridge, ipv6=plan.ipv6)
        index = self._world.index(plan.bridge)
        messages = [netlink.set_link(plan.bridge, up=True)]
        if not plan.icc and sysctls.filtered_bridges():
            messages.append(netlink.set_bridge(plan.bridge, filtered=True))
        messages += [netlink.add_address(index, gateway) for gateway in plan.gateways]
        self._world.netlink.send(messages)

    def _remove(self, record: NetworkRecord) -> None:
        plan = self._plans.pop(record.id, None) or make_plan(record, self.tag, self.defaults)
        if self._loaded:
            self._change(remove=rules.of_network(plan))
        self._unmake_bridge(plan)

    def _unmake_bridge(self, plan: Plan) -> None:
        link = self._link(plan.bridge)
        if link and link.alias == self._alias(plan.id):
            self._world.delete_links([plan.bridge])
        elif link:
            self._world.netlink.send([netlink.delete_address(link.index, g) for g in plan.gateways])

    def _attach(self, request: AttachRequest) -> Attachment:
        plan = self._plans.get(request.network_id) or self._create(request.network)
        self._load()
        key = _key(request)
        veth = names.veth(self.tag, request.container_id, request.network_id)
        mac = request.mac or names.mac(key)
        leg = Leg(plan.id, veth, mac, request.ipv4, request.ipv6)
        old = self._legs.get(key)
        if old and replace(old, ports=()) == leg and self._world.index(veth):
            return legs.attachment(request, old)
        self._detach(request)
        try:
            addresses = [legs.bare(address) for address in (leg.ipv4, leg.ipv6) if address]
            if not plan.internal:
                ports = self._ports.take(key, request.ports, addresses=addresses, host_ip=plan.host_ip)
                leg = replace(leg, ports=ports)
            self._plug(request, leg, plan)
            self._change(add=rules.of_leg(leg))
            self._legs[key] = leg
            self._forget_flows(leg)
        except BaseException as error:
            self._detach(request)
            if isinstance(error, Conflict):
                raise _no_ports(request, error) from error
            if isinstance(error, OSError | MobyError):
                raise _explained(error, f"cannot attach to network {plan.name}") from error
            raise
        return legs.attachment(request, leg)

    def _plug(self, request: AttachRequest, leg: Leg, plan: Plan) -> None:
        bridge = self._world.index(plan.bridge)
        if not bridge:
            self._make_bridge(plan)
            bridge = self._world.index(plan.bridge)
        sandbox = legs.open_sandbox(request.sandbox.path)
        try:
            self._world.within(sandbox, lambda: legs.before_plugging(bool(leg.ipv6)))
            filtered = sysctls.filtered_bridges()
            legs.plug(
                self._world.netlink,
                leg,
                sandbox,
                request.interface,
                bridge=bridge,
                mtu=plan.mtu,
                alias=self._alias(request.container_id),
            )
            hairpin, isolated = filtered and bool(leg.ports), not plan.icc and not filtered
            if hairpin or isolated:
                self._world.netlink.send([netlink.set_port(leg.veth, hairpin=hairpin, isolated=isolated)])
            self._world.within(sandbox, lambda: legs.furnish(request, leg))
        finally:
            os.close(sandbox)

    def _detach(self, request: AttachRequest) -> None:
        key = _key(request)
        leg = self._legs.pop(key, None)
        if leg and self._loaded:
            self._change(remove=rules.of_leg(leg))
            self._forget_flows(leg)
        self._world.delete_links([names.veth(self.tag, request.container_id, request.network_id)])
        self._ports.drop(key)

    def _forget_flows(self, leg: Leg) -> None:
        udp = [port for port in leg.ports if port.protocol == "udp"]
        if not udp:
            return
        try:
            for address in leg.sources:
                conntrack.forget_udp_from(address)
            for number, version in {(port.host_port, 6 if ":" in port.host_ip else 4) for port in udp}:
                conntrack.forget_udp_to(number, version)
        except OSError as error:
            self._log.warning("flows to published UDP ports may go on as before: %s", error)

    def _recover(self, endpoints: Sequence[Endpoint]) -> None:
        self._legs.clear()
        for endpoint in endpoints:
            self._take_up(endpoint)
        known = {leg.veth for leg in self._legs.values()} | {plan.bridge for plan in self._plans.values()}
        stray = [name for name in self._ours() if name not in known]
        self._world.delete_links(stray)
        self._reload()

    def _take_up(self, endpoint: Endpoint) -> None:
        request, attachment = endpoint.request, endpoint.attachment
        key = _key(request)
        veth = names.veth(self.tag, request.container_id, request.network_id)
        leg = Leg(
            request.network_id, veth, attachment.mac, attachment.ipv4, attachment.ipv6, attachment.ports
        )
        plan = self._plans.get(leg.network_id) or self._create(request.network)
        for lost in self._ports.keep(key, leg.ports):
            self._log.warning("%s: its published port is not held: %s", request.container_name, lost)
        link = self._link(veth)
        try:
            if link is None:
                self._plug(request, leg, plan)
            elif link.master != self._world.index(plan.bridge):  # the bridge was made anew
                self._world.netlink.send([netlink.set_link(veth, master=self._world.index(plan.bridge))])
        except OSError as error:
            self._log.warning("%s: its network is not mended: %s", request.container_name, error)
        self._legs[key] = leg

    def _clear(self) -> None:
        """Everything of ours goes."""
        for plan in list(self._plans.values()):
            self._unmake_bridge(plan)
        self._world.delete_links(self._ours())
        self._firewall.clear(self._world.nft)
        if self._loaded:
            self._world.nft.run(rules.gone(self.table))
        self._loaded = False

    def _mend(self) -> None:
        self._tell_firewall()
        if not self._loaded:
            return
        for family in ("inet", "bridge"):
            try:
                self._world.nft.run(f"list set {family} {self.table} {rules.WITNESS[family]}")
            except NftError:
                self._log.warning("somebody removed the rules of this platform; loading them again")
                self._reload()
                return

    def _tell_firewall(self) -> None:
        self._firewall.refresh(self._world.nft, sorted(plan.bridge for plan in self._plans.values()))

    # -- rules ---------------------------------------------------------------------------------

    def _change(self, *, add: Sequence[rules.Element] = (), remove: Sequence[rules.Element] = ()) -> None:
        script = rules.removed(self.table, remove) + rules.added(self.table, add)
        if not script:
            return
        try:
            self._world.nft.run(script)
        except NftError as error:
            self._log.info("loading all rules anew, a change was refused: %s", error)
            self._reload(add)

    def _load(self) -> None:
        if not self._loaded:
            self._reload()

    def _reload(self, more: Sequence[rules.Element] = ()) -> None:
        elements = dict.fromkeys((*self._elements(), *more))
        self._world.nft.run(rules.whole(self.table, self.tag, elements))
        self._loaded = True

    def _elements(self) -> Iterator[rules.Element]:
        for plan in self._plans.values():
            yield from rules.of_network(plan)
        for leg in self._legs.values():
            yield from rules.of_leg(leg)

    # -- small things --------------------------------------------------------------------------

    def _alias(self, id: str) -> str:
        """The alias of an interface of ours: of a network's bridge, of a container's leg."""
        return f"{self.table} {id}"

    def _ours(self) -> list[str]:
        links = netlink.list_links(self._world.netlink)
        return [link.name for link in links if link.alias.startswith(self._alias(""))]

    def _link(self, name: str) -> netlink.Link | None:
        if not self._world.index(name):
            return None
        return next((link for link in netlink.list_links(self._world.netlink) if link.name == name), None)


def _key(request: AttachRequest) -> str:
    return f"{request.container_id} {request.network_id}"


def _no_ports(request: AttachRequest, error: Conflict) -> Conflict:
    """Docker's words, which clients look for."""
    endpoint = f"{request.container_name} ({request.endpoint_id})"
    return Conflict(
        f"driver failed programming external connectivity on endpoint {endpoint}: {error.message}"
    )


def _explained(error: OSError | MobyError, what: str) -> MobyError:
    if isinstance(error, MobyError):
        return error
    where = f"{error.filename}: " if error.filename else ""
    return Unavailable(f"{what} - {where}{error.strerror or error}")
