"""Address pools: what `docker network create --subnet ...` may ask, and what it gets when it is silent.

Pure. Texts are Docker's where clients know them (libnetwork/ipam).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from moby_py.errors import InvalidArgument, PermissionDenied, Unavailable

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_POOLS = (("10.212.0.0/14", 20), ("172.28.0.0/14", 24))
"""(base, prefix length of each network): not Docker's and not Podman's, so that all can be neighbours."""
LARGEST_HOST_PART = 64
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8")
)
"""This host, loopback, link-local, multicast and reserved ones (RFC 6890, RFC 4291)."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One subnet of a network. `range` is where free addresses are taken from; `reserved` are the
    addresses that no container gets unless it asks: the gateway and the auxiliary ones."""

    subnet: Net
    gateway: Address
    range: Net
    auxiliary: Mapping[str, Address] = field(default_factory=dict)

    @property
    def version(self) -> int:
        return self.subnet.version

    @property
    def reserved(self) -> frozenset[int]:
        return frozenset({int(self.gateway), *(int(a) for a in self.auxiliary.values())})

    def bounds(self) -> tuple[int, int]:
        """First and last address that may be given out: not the network's own and, on IPv4, not the
        broadcast address (RFC 3021: a /31 has neither)."""
        first, last = int(self.range.network_address), int(self.range.broadcast_address)
        if self.subnet.prefixlen < self.subnet.max_prefixlen - 1:
            first = max(first, int(self.subnet.network_address) + 1)
            if self.version == 4:
                last = min(last, int(self.subnet.broadcast_address) - 1)
        return first, last

    def config(self) -> dict[str, Any]:
        """One element of Docker's IPAM.Config."""
        found: dict[str, Any] = {"Subnet": str(self.subnet), "Gateway": str(self.gateway)}
        if self.range != self.subnet:
            found["IPRange"] = str(self.range)
        if self.auxiliary:
            found["AuxiliaryAddresses"] = {name: str(a) for name, a in self.auxiliary.items()}
        return found


def pool(config: Mapping[str, Any]) -> Pool:
    """From one IPAM.Config with a Subnet. Raises InvalidArgument."""
    subnet = _subnet(str(config.get("Subnet") or ""))
    chosen = subnet
    if config.get("IPRange"):
        shown = _said(str(config["IPRange"]))
        chosen = _network(str(config["IPRange"]), f"invalid ip-range {shown}")
        if chosen.version != subnet.version or not _within(chosen, subnet):
            raise InvalidArgument(
                f"invalid ip-range {shown}: parent subnet {subnet} doesn't contain ip-range"
            )
    if config.get("Gateway"):
        gateway = _inside(str(config["Gateway"]), subnet, "gateway")
        edges = (subnet.network_address, subnet.broadcast_address)
        if subnet.version == 4 and subnet.num_addresses > 2 and gateway in edges:
            raise InvalidArgument(f"invalid gateway {gateway}: it is the first or the last of {subnet}")
    else:
        gateway = subnet[1] if subnet.num_addresses > 1 else subnet[0]
    return Pool(
        subnet,
        gateway,
        chosen,
        {
            str(name): _inside(str(address), subnet, "auxiliary address")
            for name, address in (config.get("AuxiliaryAddresses") or {}).items()
        },
    )


def check_overlap(wanted: Iterable[Net], taken: Iterable[Net]) -> None:
    """Raises PermissionDenied in Docker's words."""
    known = list(taken)
    for net in wanted:
        if any(_overlaps(net, other) for other in known):
            raise PermissionDenied(
                "invalid pool request: Pool overlaps with other one on this address space",
                hint=f"{net} is taken; choose another subnet, or leave --subnet away",
            )
        known.append(net)


def choose(bases: Sequence[tuple[str, int]], taken: Iterable[Net]) -> Net:
    """The first subnet of the default pools that touches none of `taken`. Raises Unavailable."""
    known = list(taken)
    for base, length in bases:
        whole = ipaddress.ip_network(base)
        near = [net for net in known if net.version == whole.version and net.overlaps(whole)]
        for candidate in whole.subnets(new_prefix=max(length, whole.prefixlen)):
            if not any(_overlaps(candidate, net) for net in near):
                return candidate
    raise Unavailable(
        "all predefined address pools have been fully subnetted",
        hint="give --subnet, remove networks that nobody uses, or widen the engine's default_address_pools",
    )


def unique_local(platform: str, network_id: str) -> Net:
    """A /64 for a network that wants IPv6 and names none: RFC 4193, the global id from the platform's
    name, the subnet id from the network's id."""
    global_id = hashlib.sha256(f"moby-py {platform}".encode()).digest()[:5]
    subnet_id = hashlib.sha256(network_id.encode()).digest()[:2]
    return ipaddress.IPv6Network((b"\xfd" + global_id + subnet_id + bytes(8), 64))


def mac(address4: str, container_id: str, network_id: str) -> str:
    """Docker's: 02:42 and the IPv4 address; without one, a hash of who and where. Always the same."""
    if address4:
        tail = ipaddress.ip_address(address4.partition("/")[0]).packed
    else:
        tail = hashlib.sha256(f"{container_id} {network_id}".encode()).digest()[:4]
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + tail)


def check_mac(text: str) -> str:
    """Lower-case with colons. Raises InvalidArgument in Docker's words."""
    parts = text.replace("-", ":").lower().split(":")
    try:
        values = [int(part, 16) for part in parts]
    except ValueError:
        values = []
    if len(values) != 6 or any(len(part) != 2 for part in parts) or values[0] & 1 or not any(values):
        raise InvalidArgument(f"invalid MAC address: {text[:100]}")
    return ":".join(parts)


def _subnet(text: str) -> Net:
    net = _network(text, f"invalid subnet {_said(text)}")
    if net.prefixlen < 8 or (net.version == 6 and net.max_prefixlen - net.prefixlen > LARGEST_HOST_PART + 16):
        raise InvalidArgument(f"invalid subnet {text}: it is larger than any network of one host")
    if any(_overlaps(net, other) for other in _SPECIAL):
        raise InvalidArgument(f"invalid subnet {text}: its addresses are never those of a network's hosts")
    return net


def _network(text: str, prefix: str) -> Net:
    if "/" not in text:
        raise InvalidArgument(f"{prefix}: invalid CIDR address")
    try:
        strict = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidArgument(f"{prefix}: invalid CIDR address") from None
    given = ipaddress.ip_interface(text)
    if given.ip != strict.network_address:
        raise InvalidArgument(f"{prefix}: it should be {strict}")
    return strict


def _inside(text: str, subnet: Net, what: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidArgument(f"invalid {what} {_said(text)}: invalid address") from None
    if address not in subnet:
        raise InvalidArgument(f"invalid {what} {text}: parent subnet {subnet} doesn't contain this address")
    return address


def _said(text: str) -> str:
    """A client's word in a message: short and on one line."""
    return text if len(text) <= 64 and text.isprintable() else repr(text[:64])


def _within(one: Net, whole: Net) -> bool:
    return one[0] in whole and one[-1] in whole


def _overlaps(one: Net, other: Net) -> bool:
    return one.version == other.version and one.overlaps(other)
