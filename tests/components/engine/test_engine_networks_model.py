"""Containers on one bridge against a simple reference: random connects, disconnects, starts, stops and
crashes, twenty at once; no address is given twice, and at the end the kernel says what the model says.

Two hundred containers and two thousand steps on a component of the test's own, and the same on the real
bridges of network/bridge, in namespaces of the test's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, ClassVar

import pytest
from engine_house import House, house
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from network_doubles import Wire, wire
from still_runtime import StillRuntime

from moby_components.common.netns import run_in
from moby_components.network.bridge.component import BridgeNetwork
from moby_py.errors import Conflict, NotModified, PermissionDenied
from moby_py.testing.contracts.component import with_defaults
from support.context import make_context
from support.worlds import World

pytestmark = pytest.mark.root
SUBNET, BATCH = ip_network("10.5.0.0/24"), 20
NET = "shared"
STEPS = (*("connect", "disconnect", "start", "stop") * 4, "crash", "crash_in_a_join", "crash_in_a_join")


class Hung:
    """Mixed into a component: its next attach never comes back, before or after its work."""

    hang = ""

    async def attach(self, request: Any) -> Any:
        when, self.hang = self.hang, ""
        if when == "before":
            await asyncio.Event().wait()
        found = await super().attach(request)  # type: ignore[misc]
        if when == "after":
            await asyncio.Event().wait()
        return found


class HungWire(Hung, Wire):
    pass


class HungBridge(Hung, BridgeNetwork):
    pass


class Containers(RuleBasedStateMachine):
    number: ClassVar[int]
    component: ClassVar[Callable[[Path], Any]]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="mp-model-"))
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.ids: list[str] = []
        self.on: set[str] = set()
        self.running: set[str] = set()
        self.held: dict[str, str] = {}
        """The reference: who is to be on the network, who runs, who has which address."""
        self.stuck: list[asyncio.Task[None]] = []
        self.steps = 0

    @initialize(number=st.integers(0, 1 << 20))
    def build(self, number: int) -> None:
        if not number:  # Hypothesis begins with the simplest walk of all, which goes nowhere
            return

        async def work() -> None:
            self.cable = type(self).component(self.root)
            await self.cable.open()
            made = house(self.root, networks=[self.cable], runtime=StillRuntime)
            self.here: House = await self.stack.enter_async_context(made)
            pool = {"Config": [{"Subnet": str(SUBNET)}]}
            await self.here.engine.network_create(NET, ipam=pool)
            for _ in range(self.number):
                self.ids.append(await self.here.create("sleep", host={"NetworkMode": NET}))
            self.on = set(self.ids)

        self.runner.run(work())

    # -- steps -----------------------------------------------------------------------------------

    @rule(seed=st.integers(0, 1 << 20), what=st.sampled_from(STEPS))
    def step(self, seed: int, what: str) -> None:
        if self.ids:
            getattr(self, what)(seed)

    def each(self, seed: int, work: Callable[[str], Awaitable[Any]]) -> dict[str, BaseException | None]:
        """`work` for twenty containers at once; what came of it."""
        chosen = random.Random(seed).sample(self.ids, BATCH)
        self.steps += BATCH

        async def all_() -> list[BaseException | None]:
            return await asyncio.gather(*(work(id) for id in chosen), return_exceptions=True)

        return dict(zip(chosen, self.runner.run(all_()), strict=True))

    def connect(self, seed: int) -> None:
        for id, error in self.each(seed, lambda id: self.here.engine.network_connect(NET, id, {})).items():
            if id in self.on:
                assert isinstance(error, PermissionDenied), error
            else:
                assert error is None, error
                self.on.add(id)

    def disconnect(self, seed: int) -> None:
        for id, error in self.each(seed, lambda id: self.here.engine.network_disconnect(NET, id)).items():
            if id not in self.on:
                assert isinstance(error, Conflict), error
            else:
                assert error is None, error
                self.on.discard(id)
                self.held.pop(id, None)

    def start(self, seed: int) -> None:
        for id, error in self.each(seed, self.here.engine.start).items():
            if id in self.running:
                assert isinstance(error, NotModified), error
            else:
                assert error is None, error
                self.running.add(id)

    def stop(self, seed: int) -> None:
        for id, error in self.each(seed, lambda id: self.here.engine.stop(id, timeout=0)).items():
            if id in self.running:
                assert error is None, error
                self.running.discard(id)
            else:
                assert isinstance(error, NotModified), error

    def crash(self, seed: int) -> None:
        self.steps += 1
        self.runner.run(self._again())

    def crash_in_a_join(self, seed: int) -> None:
        """A start, or a connect of what runs, ends with the daemon in the middle of the attach."""
        self.steps += 1
        when = ("before", "after")[seed % 2]
        waiting = sorted(self.on - self.running) + sorted(self.running - self.on)
        if not waiting:
            return
        id = random.Random(seed).choice(waiting)
        engine = self.here.engine

        async def work() -> None:
            self.cable.hang = when
            start = id not in self.running
            begun = engine.start(id) if start else engine.network_connect(NET, id, {})
            self.stuck.append(asyncio.ensure_future(begun))
            while self.cable.hang:
                await asyncio.sleep(0)
            for _ in range(50):
                await asyncio.sleep(0.001)
            await self._again()

        self.runner.run(work())
        mine = [x.address for x in engine._core.db.leases() if x.holder == id]
        if id in self.running:  # nobody was told that it joined: as if never asked
            assert mine == []
        else:  # its address was written down before, and waits for the next start
            [self.held[id]] = mine

    async def _again(self) -> None:
        await self.here.crash()
        await self.here.engine.open()

    # -- what always holds ------------------------------------------------------------------------

    def net(self) -> str:
        return self.here.engine._core.networks.get(NET).id

    @invariant()
    def agrees(self) -> None:
        if not self.ids:
            return
        core = self.here.engine._core
        shown: dict[str, str] = {}
        for id in self.ids:
            record = core.get(id).record
            assert record.live == (id in self.running)
            joined = record.network["Networks"].get(NET)
            assert (joined is not None) == (id in self.on)
            attached = [note for note in record.attachments if note["network_id"] == self.net()]
            assert len(record.attachments) == len(attached) == int(id in self.on & self.running)
            if attached:
                assert joined and joined["IPAddress"]
                shown[id] = joined["IPAddress"]
            else:
                assert not joined or joined["IPAddress"] == ""
        assert len(set(shown.values())) == len(shown), "an address was given twice"
        for id, address in shown.items():
            assert self.held.setdefault(id, address) == address, "an address changed"
            assert ip_address(address) in SUBNET and address not in ("10.5.0.0", "10.5.0.1", "10.5.0.255")
        assert {lease.holder: lease.address for lease in core.db.leases()} == self.held

    def teardown(self) -> None:
        if not self.ids:
            shutil.rmtree(self.root, ignore_errors=True)
            return
        try:
            self.agrees()
            assert self.kernel() == {id: self.held[id] for id in self.on & self.running}
            type(self).walked += self.steps
        finally:
            self.runner.run(self._close())
            self.runner.close()
            shutil.rmtree(self.root, ignore_errors=True)

    async def _close(self) -> None:
        for id in self.ids:
            await self.here.engine.remove(id, force=True)
        await self.here.engine.network_remove(NET)
        assert self.here.engine._core.db.leases() == []
        await self.stack.aclose()
        for task in self.stuck:
            task.cancel()
        await asyncio.gather(*self.stuck, return_exceptions=True)  # they find their database closed
        await self.cable.close()
        assert self.left() == []

    walked: ClassVar[int] = 0

    def kernel(self) -> dict[str, str]:
        raise NotImplementedError

    def left(self) -> list[str]:
        raise NotImplementedError


class OnTheDouble(Containers):
    number = 200

    @staticmethod
    def component(root: Path) -> HungWire:
        return wire(root, HungWire)  # type: ignore[return-value]

    def kernel(self) -> dict[str, str]:
        return {id: r.ipv4.partition("/")[0] for (id, _), r in self.cable.attached.items()}

    def left(self) -> list[str]:
        return [str(key) for key in self.cable.attached]


class OnBridges(Containers):
    number = 200

    @staticmethod
    def component(root: Path) -> HungBridge:
        made = make_context(HungBridge, root, options=with_defaults(BridgeNetwork, {}))
        component = HungBridge(made)
        HungBridge.own_names = True  # no resolver here
        return component

    def kernel(self) -> dict[str, str]:
        """Addresses inside the namespaces; the host's interfaces and rules know the same ones."""
        found: dict[str, str] = {}
        for id in self.running:
            links = run_in(str(self.here.engine._core.layout.netns(id)), lambda: _json("ip", "-j", "address"))
            for link in links:
                if link["ifname"] != "lo":
                    [address] = [a["local"] for a in link["addr_info"] if a["family"] == "inet"]
                    assert id not in found, "two interfaces"
                    found[id] = address
        ports = {link["ifname"] for link in _json("ip", "-j", "link") if link["ifname"].startswith("mv")}
        own = _set("bridge", self.table, "own4")
        assert {element["concat"][0] for element in own} == ports
        addresses = sorted(element["concat"][2] for element in own if element["concat"][2] != "0.0.0.0")
        assert addresses == sorted(found.values())
        return found

    @property
    def table(self) -> str:
        return self.cable._bridges.table

    def left(self) -> list[str]:
        links = [link["ifname"] for link in _json("ip", "-j", "link")]
        tables = _json("nft", "-j", "list", "tables")["nftables"]
        named = [one["table"]["name"] for one in tables if "table" in one]
        return [name for name in links if name.startswith(("mb", "mv"))] + [n for n in named if "moby" in n]


def _json(*argv: str) -> Any:
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout or "[]")


def _set(family: str, table: str, name: str) -> list[Any]:
    listed = _json("nft", "-j", "list", "set", family, table, name)["nftables"]
    [found] = [one["set"] for one in listed if "set" in one]
    return list(found.get("elem", []))


def walk(machine: type[Containers], batches: int) -> None:
    machine.walked = 0
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=2,
            stateful_step_count=batches,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.walked >= 2000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_containers_and_two_thousand_steps() -> None:
    walk(OnTheDouble, 140)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_containers_on_real_bridges(tmp_path: Path) -> None:
    world = World(tmp_path)
    try:
        world.inside("host", lambda: walk(OnBridges, 140))
    finally:
        world.close()
