"""The networks and endpoints of one world, and what they come to in the kernel.

What is wanted is kept here in memory and comes from the engine's records after a start; the kernel's
side is made from it step by step, or whole (`recover`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from moby_components.common import netlink
from moby_components.common.bridging import legs, names, rules, sysctls, taken
from moby_components.common.bridging.hostfirewall import HostFirewall
from moby_components.common.bridging.legs import Leg
from moby_components.common.bridging.plan import Defaults, Plan, make_plan
from moby_components.common.bridging.ports import Ports
from moby_components.common.bridging.ruleset import Ruleset
from moby_components.common.bridging.world import World
from moby_components.common.netlink import conntrack
from moby_py.errors import Conflict, MobyError, Unavailable
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord


class Site:
    """The work of `Bridges`, all of it done in the world's thread: nothing here is concurrent."""

    def __init__(
        self, table: str, world: World, defaults: Defaults, host_firewall: str, log: logging.Logger
    ) -> None:
        self.table = table
        self.tag = names.tag(table)
        self.legs: dict[str, Leg] = {}
        self.ports = Ports()
        self._log = log
        self._world = world
        self._defaults = defaults
        self._plans: dict[str, Plan] = {}
        self._rules = Ruleset(table, self.tag, self._elements, log)
        self._firewall = HostFirewall(host_firewall, self.tag, log)

    def create(self, record: NetworkRecord) -> Plan:
        """The bridge, its addresses, its elements. Idempotent. Raises MobyError; nothing is left then."""
        plan = make_plan(record, self.tag, self._defaults)
        other = next((p for p in self._plans.values() if p.bridge == plan.bridge and p.id != plan.id), None)
        if other:
            raise Conflict(f"network {other.name} ({other.id}) uses the bridge {plan.bridge} already")
        before = self._plans.get(plan.id)
        existed = bool(self._world.index(plan.bridge))
        try:
            self._make_bridge(plan)
            self._plans[plan.id] = plan
            if self._rules.loaded and before != plan:
                gone = rules.of_network(before) if before else []
                self._rules.change(self._world.nft, remove=gone, add=rules.of_network(plan))
        except (OSError, MobyError) as error:
            if not before:
                self._plans.pop(plan.id, None)
                if not existed:
                    self._world.delete_links([plan.bridge])
            raise _explained(error, f"cannot make network {record.name}") from error
        return plan

    def _make_bridge(self, plan: Plan) -> None:
        link = self._link(plan.bridge)
        ours = link is None or link.alias == self._alias(plan.id)
        if link:
            taken.check_bridge(self._world, link, self._alias(plan.id), plan)
        else:
            self._world.netlink.send(
                [
                    netlink.add_bridge(plan.bridge, mac=plan.mac, mtu=plan.mtu),
                    netlink.set_link(plan.bridge, alias=self._alias(plan.id)),
                ]
            )
        sysctls.forward(self._log, ipv6=plan.ipv6)
        sysctls.of_bridge(plan.bridge, ipv6=plan.ipv6, ours=ours)
        index = self._world.index(plan.bridge)
        there = {address for _, address in netlink.list_addresses(self._world.netlink, index)}
        messages = [netlink.set_link(plan.bridge, up=True)]
        if not plan.icc and sysctls.filtered_bridges():
            messages.append(netlink.set_bridge(plan.bridge, filtered=True))
        messages += [netlink.add_address(index, g, marked=not ours) for g in plan.gateways if g not in there]
        self._world.netlink.send(messages)

    def check(self, draft: NetworkRecord) -> None:
        """For a network that a user asks for: see `taken.check_subnets`."""
        taken.check_subnets(self._world, make_plan(draft, self.tag, self._defaults))

    def remove(self, record: NetworkRecord) -> None:
        """What `create` made goes; a bridge of somebody else only loses our addresses. Idempotent."""
        plan = self._plans.pop(record.id, None)
        if plan and self._rules.loaded:
            self._rules.change(self._world.nft, remove=rules.of_network(plan))
        self._unmake_bridge(plan or make_plan(record, self.tag, self._defaults), used=plan is not None)

    def _unmake_bridge(self, plan: Plan, *, used: bool = True) -> None:
        link = self._link(plan.bridge)
        if link and link.alias == self._alias(plan.id):
            self._world.delete_links([plan.bridge])
        elif link and link.kind == "bridge" and not link.alias.startswith("moby-py-"):
            made = [a for _, a in netlink.list_addresses(self._world.netlink, link.index, marked=True)]
            self._world.netlink.send(
                [netlink.delete_address(link.index, g) for g in plan.gateways if g in made]
            )
            if used:
                sysctls.leave_bridge(plan.bridge)

    def attach(self, request: AttachRequest) -> Attachment:
        """The leg, its rules, its ports. Idempotent. Raises MobyError; nothing is left then."""
        plan = self._plans.get(request.network_id) or self.create(request.network)
        if not self._rules.loaded:
            self._rules.load(self._world.nft)
        key = key_of(request)
        veth = names.veth(self.tag, request.container_id, request.network_id)
        mac = request.mac or names.mac(key)
        leg = Leg(plan.id, veth, mac, request.ipv4, request.ipv6)
        old = self.legs.get(key)
        if old and replace(old, ports=()) == leg and self._world.index(veth):
            return legs.attachment(request, old)
        self.detach(request)
        try:
            addresses = [legs.bare(address) for address in (leg.ipv4, leg.ipv6) if address]
            if not plan.internal:
                ports = self.ports.take(key, request.ports, addresses=addresses, host_ip=plan.host_ip)
                leg = replace(leg, ports=ports)
            self._plug(request, leg, plan)
            self._rules.change(self._world.nft, add=rules.of_leg(leg))
            self.legs[key] = leg
            self._forget_flows(leg)
        except BaseException as error:
            self.detach(request)
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
            legs.plug(
                self._world.netlink,
                leg,
                sandbox,
                request.interface,
                bridge=bridge,
                mtu=plan.mtu,
                alias=self._alias(request.container_id),
            )
            self._set_port(leg, plan)
            self._world.within(sandbox, lambda: legs.furnish(request, leg))
        finally:
            os.close(sandbox)

    def _set_port(self, leg: Leg, plan: Plan) -> None:
        """Where the kernel filters frames between ports, a published port of the container's own comes
        back to it within the bridge; where it does not, the bridge itself keeps neighbours apart."""
        filtered = sysctls.filtered_bridges()
        hairpin, isolated = filtered and bool(leg.ports), not plan.icc and not filtered
        if hairpin or isolated:
            self._world.netlink.send([netlink.set_port(leg.veth, hairpin=hairpin, isolated=isolated)])

    def detach(self, request: AttachRequest) -> None:
        """What `attach` made goes. Idempotent."""
        key = key_of(request)
        leg = self.legs.pop(key, None)
        if leg and self._rules.loaded:
            self._rules.change(self._world.nft, remove=rules.of_leg(leg))
            self._forget_flows(leg)
        self._world.delete_links([names.veth(self.tag, request.container_id, request.network_id)])
        self.ports.drop(key)

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

    def recover(self, endpoints: Sequence[Endpoint]) -> None:
        """These endpoints and no others, whatever was here before."""
        self.legs.clear()
        for endpoint in endpoints:
            self._take_up(endpoint)
        known = {leg.veth for leg in self.legs.values()} | {plan.bridge for plan in self._plans.values()}
        stray = [name for name in self._ours() if name not in known]
        self._world.delete_links(stray)
        self._rules.load(self._world.nft)

    def _take_up(self, endpoint: Endpoint) -> None:
        request, attachment = endpoint.request, endpoint.attachment
        key = key_of(request)
        veth = names.veth(self.tag, request.container_id, request.network_id)
        leg = Leg(
            request.network_id, veth, attachment.mac, attachment.ipv4, attachment.ipv6, attachment.ports
        )
        for lost in self.ports.keep(key, leg.ports):
            self._log.warning("%s: its published port is not held: %s", request.container_name, lost)
        link = self._link(veth)
        try:
            plan = self._plans.get(leg.network_id) or self.create(request.network)
            if link is None:
                self._plug(request, leg, plan)
            elif link.master != self._world.index(plan.bridge):  # the bridge was made anew
                self._world.netlink.send([netlink.set_link(veth, master=self._world.index(plan.bridge))])
                self._set_port(leg, plan)
        except (OSError, MobyError) as error:
            self._log.warning("%s: its network is not mended: %s", request.container_name, error)
        self.legs[key] = leg

    def clear_unless_used(self) -> None:
        """Everything of ours goes, unless a container still has a leg here - or nobody has told yet
        (`recover`) whether one has."""
        if not self._rules.loaded or any(self._world.index(leg.veth) for leg in self.legs.values()):
            return
        for plan in list(self._plans.values()):
            self._unmake_bridge(plan)
        self._world.delete_links(self._ours())
        self._firewall.clear(self._world.nft)
        self._rules.drop(self._world.nft)

    def mend(self) -> None:
        """Somebody changed the host's rules: ours may be gone, a dockerd may have come."""
        self.tell_firewall()
        self._rules.mend(self._world.nft)

    def tell_firewall(self) -> None:
        """Bring what the host's firewall knows of us in line. See `hostfirewall`."""
        self._firewall.refresh(self._world.nft, sorted(plan.bridge for plan in self._plans.values()))

    # -- small things --------------------------------------------------------------------------

    def _elements(self) -> Iterator[rules.Element]:
        for plan in self._plans.values():
            yield from rules.of_network(plan)
        for leg in self.legs.values():
            yield from rules.of_leg(leg)

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


def key_of(request: AttachRequest) -> str:
    """What tells an endpoint apart here."""
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
