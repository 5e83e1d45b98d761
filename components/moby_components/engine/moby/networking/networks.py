"""All networks of a platform: the records, which component serves each, their pools and leases.

`open` and `close` frame it; what a component made of a network is made again at each start. A network
whose component fails then (a remote driver that is not up yet) is tried again when somebody joins.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from moby_components.engine.moby.clock import now_ns, rfc3339
from moby_components.engine.moby.db import Database
from moby_components.engine.moby.names import new_id
from moby_components.engine.moby.networking import pools
from moby_components.engine.moby.networking.asked import check_name, check_shape, config_of
from moby_components.engine.moby.networking.leases import Lease, Leases
from moby_components.engine.moby.networking.records import dump_network, load_network, predefined_id
from moby_components.engine.moby.networking.routed import routed
from moby_py.component import Context
from moby_py.errors import (
    AlreadyExists,
    InvalidArgument,
    MobyError,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from moby_py.kinds import Network
from moby_py.model import NetworkRecord


class Networks:
    """`idle(container id)`: it does not run, so that its leases may be taken when a pool is used up."""

    def __init__(self, context: Context, db: Database, idle: Callable[[str], bool]) -> None:
        self._context = context
        self._db = db
        self._idle = idle
        self._records: dict[str, NetworkRecord] = {}
        self._leases: dict[str, Leases] = {}
        self._real: set[str] = set()
        """Networks that their component has made since this start."""
        self._making = asyncio.Lock()
        self.components: dict[str, Network] = dict(context.wiring.all(Network))
        self.default = ""
        """Name of the network for containers that ask for none."""

    async def open(self) -> None:
        """Read the records, add the predefined networks, and have the components make them all."""
        saved = {data["id"]: load_network(data) for data in self._db.networks()}
        rows: dict[str, list[Lease]] = {}
        for lease in self._db.leases():
            rows.setdefault(lease.network_id, []).append(lease)
        for id, component in self.components.items():
            for record in component.predefined():
                self.default = self.default or record.name
                if not any(known.name == record.name for known in self._records.values()):
                    self._predefine(id, record, saved)
        for record in saved.values():
            if not record.builtin and record.id not in self._records:
                self._records[record.id] = await self._housed(record)
        for record in list(self._records.values()):
            self._lease_book(record, rows.get(record.id, []))
            try:
                await self.ensure(record)
            except MobyError as error:
                self._context.log.warning("network %s is not there yet: %s", record.name, error)

    # -- looking ---------------------------------------------------------------------------------

    def all(self) -> list[NetworkRecord]:
        return sorted(self._records.values(), key=lambda record: (not record.builtin, record.name))

    def get(self, ref: str) -> NetworkRecord:
        """By name, id or unambiguous prefix of the id; "default" is the default network. NotFound."""
        name = self.default if ref == "default" else ref
        for record in self._records.values():
            if name in (record.id, record.name):
                return record
        found = [record for record in self._records.values() if ref and record.id.startswith(ref)]
        if len(found) > 1:
            raise InvalidArgument(
                f"multiple networks found with provided prefix: {ref}", hint="give more digits"
            )
        if not found:
            raise NotFound(f"network {ref} not found")
        return found[0]

    def component_of(self, record: NetworkRecord) -> Network:
        """Raises Unavailable: the platform has no component for it any more."""
        found = self.components.get(record.component)
        if found is None:
            raise Unavailable(
                f"no component of this platform serves network {record.name} - its driver is {record.driver}",
                hint="wire a network component with that driver into the blueprint",
            )
        return found

    # -- making and removing ---------------------------------------------------------------------

    async def create(
        self,
        name: str,
        *,
        driver: str = "",
        internal: bool = False,
        attachable: bool = False,
        ipv6: bool = False,
        ipam: Mapping[str, Any] | None = None,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> NetworkRecord:
        """See the contract. Nothing is left of a network whose component says no."""
        check_name(name)
        check_shape(ipam, options, labels)
        async with self._making:
            self._check_free(name)
            id, component = self._taker(driver)
            draft = NetworkRecord(
                id=new_id(),
                name=name,
                driver=driver or (component.drivers[0] if component.drivers else ""),
                sandbox="private",
                created=rfc3339(now_ns()),
                internal=internal,
                attachable=attachable,
                ipv6=ipv6,
                ipam=config_of(ipam),
                options=dict(options or {}),
                labels=dict(labels or {}),
                component=id,
            )
            record = self._pooled(await component.plan(draft), chosen=bool((ipam or {}).get("Config")))
            made = await component.create(record)
            try:
                with self._db.transaction(durable=True):
                    self._db.save_network(made.id, made.name, dump_network(made))
            except BaseException:
                await component.remove(made)
                raise
            self._records[made.id] = made
            self._real.add(made.id)
            self._lease_book(made, [])
            return made

    async def remove(self, record: NetworkRecord) -> None:
        """The caller has made sure that nobody is attached."""
        if record.builtin:
            raise PermissionDenied(f"{record.name} is a pre-defined network and cannot be removed")
        async with self._making:
            if record.id not in self._records:
                raise NotFound(f"network {record.name} not found")
            if record.component in self.components:
                await self.components[record.component].remove(record)
            with self._db.transaction(durable=True):
                self._db.forget_network(record.id)
            del self._records[record.id]
            self._leases.pop(record.id, None)
            self._real.discard(record.id)

    async def ensure(self, record: NetworkRecord) -> NetworkRecord:
        """The network as its component made it in this life of the daemon."""
        if record.id in self._real:
            return self._records[record.id]
        made = await self.component_of(record).create(record)
        self._records[made.id] = made
        self._real.add(made.id)
        if dump_network(made) != dump_network(record):
            with self._db.transaction():
                self._db.save_network(made.id, made.name, dump_network(made))
        return made

    # -- addresses -------------------------------------------------------------------------------

    def lease(self, record: NetworkRecord, holder: str, ipv4: str, ipv6: str) -> tuple[str, str]:
        """The container's addresses on that network, with prefix length; written down before they are
        used. Raises as `Leases.take`."""
        book = self._leases[record.id]
        change = book.take(holder, ipv4, ipv6)
        if change.added or change.removed:
            with self._db.transaction():
                self._db.change_leases(change.added, change.removed)
        return book.of(holder)

    def gateways(self, record: NetworkRecord, ipv4: str, ipv6: str) -> tuple[str, str]:
        book = self._leases[record.id]
        return book.gateway(4, ipv4), book.gateway(6, ipv6)

    def give_back(self, holder: str, network_id: str = "") -> None:
        """A container is gone, or has left that network for good."""
        for id in [network_id] if network_id else list(self._leases):
            freed = self._leases[id].free(holder) if id in self._leases else []
            if freed:
                with self._db.transaction():
                    self._db.change_leases([], freed)

    # -- inside ----------------------------------------------------------------------------------

    def _predefine(self, id: str, record: NetworkRecord, saved: Mapping[str, NetworkRecord]) -> None:
        number = predefined_id(self._context.platform.name, record.name)
        known = saved.get(number)
        asked = bool((record.ipam or {}).get("Config"))
        pooled = replace(record, id=number, builtin=True, component=id, ipam=config_of(record.ipam))
        if known is not None:
            pooled = replace(pooled, created=known.created)
            if not asked and known.addressing == "engine" == record.addressing and known.ipv6 == record.ipv6:
                pooled = replace(pooled, ipam=known.ipam)
        else:
            pooled = replace(pooled, created=rfc3339(now_ns()))
        pooled = self._pooled(pooled, chosen=asked)
        self._records[number] = pooled
        if pooled.addressing == "engine":
            with self._db.transaction(durable=known is None):
                self._db.save_network(number, pooled.name, dump_network(pooled))

    async def _housed(self, record: NetworkRecord) -> NetworkRecord:
        """A network of the user's in a platform whose components may have changed since."""
        known = self.components.get(record.component)
        if known is not None and known.takes(record.driver):
            return record
        try:
            id, component = self._taker(record.driver)
            planned = await component.plan(replace(record, component=id))
            record = self._pooled(replace(planned, id=record.id, created=record.created), chosen=True)
        except MobyError as error:
            self._context.log.warning("network %s cannot be used here: %s", record.name, error)
            return replace(record, component="")
        with self._db.transaction():
            self._db.save_network(record.id, record.name, dump_network(record))
        return record

    def _taker(self, driver: str) -> tuple[str, Network]:
        """The component for a driver word. Raises NotFound in Docker's words, Unsupported."""
        for id, component in self.components.items():
            if component.takes(driver) if driver else component.drivers:
                return id, component
        if not any(component.drivers for component in self.components.values()):
            first = next(iter(self.components.values()))
            return next(iter(self.components)), first  # its plan says best why there are none
        raise NotFound(f'error looking up plugin {driver}: plugin "{driver}" not found')

    def _pooled(self, record: NetworkRecord, *, chosen: bool) -> NetworkRecord:
        """With a subnet and a gateway for every version, where the engine gives out the addresses."""
        if record.addressing != "engine":
            return record
        others = [net for other in self._records.values() if other.id != record.id for net in _nets(other)]
        configs = record.ipam.get("Config") or ()
        if any(not config.get("Subnet") for config in configs):
            raise InvalidArgument(
                "invalid network config - an ip-range, a gateway or an auxiliary address needs its --subnet"
            )
        found = [pools.pool(config) for config in configs]
        if chosen:
            pools.check_overlap([pool.subnet for pool in found], others)
        if any(pool.version == 6 for pool in found) and not record.ipv6:
            record = replace(record, ipv6=True)
        if not any(pool.version == 4 for pool in found):
            bases = self._context.options.get("default_address_pools")
            choice = [(p["base"], int(p["size"])) for p in bases] if bases else pools.DEFAULT_POOLS
            free = pools.choose(choice, [*others, *routed()])
            found.insert(0, pools.pool({"Subnet": str(free)}))
        if record.ipv6 and not any(pool.version == 6 for pool in found):
            net = pools.unique_local(self._context.platform.name, record.id)
            found.append(pools.pool({"Subnet": str(net)}))
        return replace(record, ipam={**record.ipam, "Config": [pool.config() for pool in found]})

    def _lease_book(self, record: NetworkRecord, rows: Sequence[Lease]) -> None:
        found = (
            [pools.pool(c) for c in record.ipam.get("Config") or ()] if record.addressing == "engine" else []
        )
        self._leases[record.id] = Leases(record.id, record.name, found, self._idle)
        self._leases[record.id].load(rows)

    def _check_free(self, name: str) -> None:
        for record in self._records.values():
            if record.name == name:
                raise AlreadyExists(f"network with name {name} already exists")


def _nets(record: NetworkRecord) -> list[pools.Net]:
    return [
        ipaddress.ip_network(config["Subnet"])
        for config in record.ipam.get("Config") or ()
        if record.addressing == "engine" and config.get("Subnet")
    ]
