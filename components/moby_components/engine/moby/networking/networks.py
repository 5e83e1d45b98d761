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
from moby_components.engine.moby.networking.asked import (
    ALONE,
    check_ipam_driver,
    check_name,
    check_shape,
    config_of,
)
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
        self._going: set[str] = set()
        """Networks that are being removed: nobody joins them any more."""
        self._saved: dict[str, NetworkRecord] = {}
        self._making = asyncio.Lock()
        self._each: dict[str, asyncio.Lock] = {}
        """A component makes or removes this network now."""
        self.components: dict[str, Network] = dict(context.wiring.all(Network))
        self.default = ""
        """Name of the network for containers that ask for none."""

    async def open(self) -> None:
        """Read the records, add the predefined networks, and have the components make them all."""
        rows_of_networks = self._db.networks()
        saved = self._saved = {data["id"]: load_network(data) for data in rows_of_networks}
        served = {data["id"]: data.get("served_by") for data in rows_of_networks}
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
                self._records[record.id] = await self._housed(record, served[record.id])
        self._saved = {}
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

    def find(self, ref: str) -> NetworkRecord | None:
        """`get`, or None."""
        try:
            return self.get(ref)
        except MobyError:
            return None

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
            if draft.ipam["Driver"] == "default":  # before a component finds our own bridge in its way
                self._asked(draft, self._others(draft))
            planned = await component.plan(draft)
            if planned.addressing == "engine":
                check_ipam_driver(planned.ipam["Driver"])
            record = self._pooled(planned, chosen=bool((ipam or {}).get("Config")))
            made = await component.create(record)
            try:
                with self._db.transaction(durable=True):
                    self._save(made)
            except BaseException:
                await component.remove(made)
                raise
            self._records[made.id] = made
            self._real.add(made.id)
            self._lease_book(made, [])
            return made

    async def remove(self, record: NetworkRecord, check_unused: Callable[[], None]) -> None:
        """`check_unused` raises where somebody is attached; from then on nobody can join."""
        if record.builtin:
            raise PermissionDenied(f"{record.name} is a pre-defined network and cannot be removed")
        async with self._making:
            if record.id not in self._records:
                raise NotFound(f"network {record.name} not found")
            check_unused()
            self._going.add(record.id)
            try:
                async with self._lock(record):
                    await self._unmake(record)
            finally:
                self._going.discard(record.id)

    async def ensure(self, record: NetworkRecord) -> NetworkRecord:
        """The network as its component made it in this life of the daemon; somebody may join it until
        the next suspension. Raises NotFound: it is being removed."""
        self._check_stays(record)
        if record.id in self._real:
            return self._records[record.id]
        async with self._lock(record):
            self._check_stays(record)
            if record.id not in self._real:
                await self._make_again(record)
            return self._records[record.id]

    def _lock(self, record: NetworkRecord) -> asyncio.Lock:
        return self._each.setdefault(record.id, asyncio.Lock())

    async def _unmake(self, record: NetworkRecord) -> None:
        self._real.discard(record.id)
        if record.component in self.components:
            await self.components[record.component].remove(record)
        with self._db.transaction(durable=True):
            self._db.forget_network(record.id)
        del self._records[record.id]
        self._leases.pop(record.id, None)
        self._each.pop(record.id, None)

    async def _make_again(self, record: NetworkRecord) -> None:
        made = await self.component_of(record).create(record)
        self._records[made.id] = made
        self._real.add(made.id)
        # A predefined one that its component addresses comes with it at each start; its row may hold
        # the pool of another component, for the day that one is back.
        kept = not record.builtin or record.addressing == "engine"
        if kept and dump_network(made) != dump_network(record):
            with self._db.transaction():
                self._save(made)

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
        """A container is gone, or has left that network for good; its rows of networks that another
        component addresses now go too."""
        for id in [network_id] if network_id else list(self._leases):
            if id in self._leases:
                self._leases[id].free(holder)
        with self._db.transaction():
            self._db.forget_leases(holder, network_id)

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
                self._save(pooled)

    async def _housed(self, record: NetworkRecord, served_by: str | None) -> NetworkRecord:
        """A network of the user's in a platform whose components may have changed since: `served_by` is
        the name of the one that had it, which another may have followed under the same id."""
        known = self.components.get(record.component)
        if known is not None and served_by in (None, known.name) and known.takes(record.driver):
            return record
        try:
            id, component = self._taker(record.driver)
            planned = await component.plan(replace(record, component=id))
            record = self._pooled(replace(planned, id=record.id, created=record.created), chosen=True)
        except MobyError as error:
            self._context.log.warning("network %s cannot be used here: %s", record.name, error)
            return replace(record, component="")
        with self._db.transaction():
            self._save(record)
        return record

    def _save(self, record: NetworkRecord) -> None:
        served_by = self.components[record.component].name
        self._db.save_network(record.id, record.name, {**dump_network(record), "served_by": served_by})

    def _taker(self, driver: str) -> tuple[str, Network]:
        """The component for a driver word. Raises NotFound and PermissionDenied in Docker's words,
        Unsupported."""
        if driver in ALONE:
            raise PermissionDenied(f'only one instance of "{driver}" network is allowed')
        for id, component in self.components.items():
            if component.takes(driver) if driver else component.drivers:
                return id, component
        if not any(component.drivers for component in self.components.values()):
            first = next(iter(self.components.values()))
            return next(iter(self.components)), first  # its plan says best why there are none
        words = sorted({word for component in self.components.values() for word in component.drivers})
        raise NotFound(
            f'error looking up plugin {driver}: plugin "{driver}" not found',
            hint=f"this platform's network drivers: {' '.join(words)}",
        )

    def _others(self, record: NetworkRecord) -> list[pools.Net]:
        everyone = {**self._saved, **self._records}
        return [net for other in everyone.values() if other.id != record.id for net in _nets(other)]

    def _asked(self, record: NetworkRecord, taken: Sequence[pools.Net]) -> list[pools.Pool]:
        """The pools that a network names, IPv4 first. Raises InvalidArgument, PermissionDenied."""
        configs = record.ipam.get("Config") or ()
        if any(not config.get("Subnet") for config in configs):
            raise InvalidArgument(
                "invalid network config - an ip-range, a gateway or an auxiliary address needs its --subnet"
            )
        found = sorted((pools.pool(config) for config in configs), key=lambda pool: pool.version)
        pools.check_overlap([pool.subnet for pool in found], taken)
        return found

    def _pooled(self, record: NetworkRecord, *, chosen: bool) -> NetworkRecord:
        """With a subnet and a gateway for every version, where the engine gives out the addresses."""
        if record.addressing != "engine":
            return record
        others = self._others(record)
        found = self._asked(record, others if chosen else ())
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
        lost = self._leases[record.id].load(rows)
        if lost and found:  # its subnet is another one now; where it has none, it may come back
            with self._db.transaction():
                self._db.change_leases([], lost)

    def _check_stays(self, record: NetworkRecord) -> None:
        if record.id in self._going or record.id not in self._records:
            raise NotFound(f"network {record.name} not found")

    def _check_free(self, name: str) -> None:
        for record in self._records.values():
            if record.name == name:
                if record.builtin:
                    raise PermissionDenied(f"operation is not permitted on predefined {name} network")
                raise AlreadyExists(f"network with name {name} already exists")


def _nets(record: NetworkRecord) -> list[pools.Net]:
    return [
        ipaddress.ip_network(config["Subnet"])
        for config in record.ipam.get("Config") or ()
        if record.addressing == "engine" and config.get("Subnet")
    ]
