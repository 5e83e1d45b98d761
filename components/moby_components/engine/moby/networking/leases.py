"""Who has which address. One `Leases` per network; the rows behind it are the truth after a crash.

A lease outlives the run of its container, so that a container comes back with the address it had -
after a restart, a crash of the daemon, a reboot. Only when a pool is used up, the leases of containers
that do not run are taken from them, the oldest first. An address that a container asked for (--ip)
goes before such a lease too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from moby_components.engine.moby.networking.pools import Pool
from moby_py.errors import InvalidArgument, PermissionDenied, Unavailable


@dataclass(frozen=True, slots=True)
class Lease:
    """`address` without prefix length. `holder` is a container's id."""

    network_id: str
    address: str
    holder: str
    version: int


@dataclass(slots=True)
class Change:
    """What a request did to the rows."""

    added: list[Lease] = field(default_factory=list)
    removed: list[Lease] = field(default_factory=list)


class Leases:
    """`idle(holder)` tells whether a container does not run: its lease may be taken."""

    def __init__(
        self, network_id: str, name: str, pools: Sequence[Pool], idle: Callable[[str], bool]
    ) -> None:
        self._id = network_id
        self._name = name
        self._idle = idle
        self._pools = {version: [p for p in pools if p.version == version] for version in (4, 6)}
        self._holders: dict[int, dict[int, str]] = {4: {}, 6: {}}
        """version -> address -> holder, in the order they were given out."""
        self._of: dict[int, dict[str, int]] = {4: {}, 6: {}}
        self._cursor: dict[int, int] = {}

    def load(self, leases: Sequence[Lease]) -> list[Lease]:
        """The rows, in the order they were made. Those that fit no pool are left out, and returned."""
        lost = []
        for lease in leases:
            value = int(ipaddress.ip_address(lease.address))
            pools = [p for p in self._pools[lease.version] if _in(p, value)]
            if pools and all(value != int(p.gateway) for p in pools):
                self._take(lease.version, value, lease.holder)
            else:
                lost.append(lease)
        return lost

    def of(self, holder: str) -> tuple[str, str]:
        """The (IPv4, IPv6) address that a container holds, with prefix length; "" for none."""
        return self._shown(4, holder), self._shown(6, holder)

    def take(self, holder: str, wanted4: str = "", wanted6: str = "") -> Change:
        """Addresses of every version that the network has. Those it held before come back, unless it
        asks for others. Raises InvalidArgument, PermissionDenied (taken), Unavailable (used up);
        then nothing has changed."""
        before = {version: (dict(self._holders[version]), dict(self._of[version])) for version in (4, 6)}
        change = Change()
        try:
            for version, wanted in ((4, wanted4), (6, wanted6)):
                if wanted or self._pools[version]:
                    self._take_one(version, holder, wanted, change)
        except BaseException:
            for version, (holders, of) in before.items():
                self._holders[version], self._of[version] = holders, of
            raise
        return change

    def free(self, holder: str) -> list[Lease]:
        """Give back what a container holds; the leases that were there."""
        found = []
        for version in (4, 6):
            value = self._of[version].pop(holder, None)
            if value is not None:
                del self._holders[version][value]
                found.append(self._lease(version, value, holder))
        return found

    def gateway(self, version: int, address: str) -> str:
        """The gateway of the pool that an address (with prefix length) is from."""
        if not address:
            return ""
        value = int(ipaddress.ip_interface(address).ip)
        return next((str(p.gateway) for p in self._pools[version] if _in(p, value)), "")

    def __len__(self) -> int:
        return len(self._holders[4]) + len(self._holders[6])

    # -- one version -----------------------------------------------------------------------------

    def _take_one(self, version: int, holder: str, wanted: str, change: Change) -> None:
        held = self._of[version].get(holder)
        value = self._wanted(version, wanted) if wanted else held
        if value is not None and value == held:
            return
        if value is not None:
            other = self._holders[version].get(value)
            if other is not None:
                if not self._idle(other):
                    raise PermissionDenied("Address already in use")
                self._drop(version, other, change)
        else:
            value = self._next(version, change)
        if held is not None:
            self._drop(version, holder, change)
        self._take(version, value, holder)
        change.added.append(self._lease(version, value, holder))

    def _wanted(self, version: int, text: str) -> int:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise InvalidArgument(f"invalid IPv{version} address: {text}") from None
        for pool in self._pools[version]:
            if address.version == version and address in pool.subnet:
                if int(address) == int(pool.gateway):
                    raise PermissionDenied("Address already in use")
                edges = (int(pool.subnet.network_address), int(pool.subnet.broadcast_address))
                if pool.subnet.num_addresses > 2 and (
                    int(address) == edges[0] or (version == 4 and int(address) == edges[1])
                ):
                    break
                return int(address)
        subnets = ", ".join(str(pool.subnet) for pool in self._pools[version]) or "none"
        raise InvalidArgument(
            f"invalid endpoint settings: no configured subnet contains IP address {text}",
            hint=f"network {self._name} has {subnets}",
        )

    def _next(self, version: int, change: Change) -> int:
        """The next free address after the last one given out, so that one just left rests for long."""
        holders = self._holders[version]
        for number, pool in enumerate(self._pools[version]):
            first, last = pool.bounds()
            reserved = pool.reserved
            key = version * 1000 + number
            start = self._cursor.get(key, first)
            full = sum(first <= value <= last for value in holders) if len(holders) > last - first else 0
            if full > last - first:
                continue
            for value in _ring(start, first, last, len(holders) + len(reserved) + 1):
                if value not in holders and value not in reserved:
                    self._cursor[key] = value + 1
                    return value
        for value, other in holders.items():
            if self._idle(other) and any(
                low <= value <= high for low, high in (p.bounds() for p in self._pools[version])
            ):
                self._drop(version, other, change)
                return value
        raise Unavailable(
            f"no available IPv{version} addresses on this network's address pools: {self._name} ({self._id})",
            hint="remove containers of this network, or make one with a larger --subnet",
        )

    def _take(self, version: int, value: int, holder: str) -> None:
        self._holders[version][value] = holder
        self._of[version][holder] = value

    def _drop(self, version: int, holder: str, change: Change) -> None:
        value = self._of[version].pop(holder)
        del self._holders[version][value]
        change.removed.append(self._lease(version, value, holder))

    def _lease(self, version: int, value: int, holder: str) -> Lease:
        return Lease(self._id, str(_address(version, value)), holder, version)

    def _shown(self, version: int, holder: str) -> str:
        value = self._of[version].get(holder)
        if value is None:
            return ""
        length = next((p.subnet.prefixlen for p in self._pools[version] if _in(p, value)), 0)
        return f"{_address(version, value)}/{length}"


def _address(version: int, value: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value)


def _in(pool: Pool, value: int) -> bool:
    return int(pool.subnet.network_address) <= value <= int(pool.subnet.broadcast_address)


def _ring(start: int, first: int, last: int, most: int) -> list[int] | range:
    """Up to `most` numbers from `start` on, over the end to the beginning; each number once."""
    start = start if first <= start <= last else first
    ahead = range(start, min(last, start + most) + 1)
    if len(ahead) >= most or start == first:
        return ahead
    return [*ahead, *range(first, min(start - 1, first + most) + 1)]
