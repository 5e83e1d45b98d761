"""What every `network` component promises. The last tests need root and make real namespaces."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moby_py.errors import MobyError
from moby_py.kinds import Network
from moby_py.model import Attachment, AttachRequest, NetworkRecord, Sandbox
from moby_py.testing.contracts.component import ComponentContract, with_defaults
from moby_py.testing.room import make_context

SANDBOXES = {"empty", "host", "private", "runtime"}
GIVERS = {"engine", "component", "none"}
CONTAINER = "c0de" * 16


class NetworkContract(ComponentContract):
    """Override `options` where the component needs some, `sandbox` to furnish a real namespace, and
    `ipam` where the default network takes its addresses from the engine."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def network(
        self, tmp_path: Path, options: dict[str, Any], binaries: dict[str, Path]
    ) -> Iterator[Network]:
        cls = self.component_class
        context = make_context(cls, tmp_path, options=with_defaults(cls, options), binaries=binaries)
        component = cls(context)
        assert isinstance(component, Network)
        asyncio.run(component.open())
        yield component
        asyncio.run(component.close())

    def test_it_brings_networks(self, network: Network) -> None:
        found = network.predefined()
        names = [record.name for record in found]
        assert len(set(names)) == len(names)
        for record in found:
            assert record.builtin
            assert record.sandbox in SANDBOXES
            assert record.addressing in GIVERS
            assert record.names in GIVERS

    def test_predefined_networks_are_the_same_each_time(self, network: Network) -> None:
        assert list(network.predefined()) == list(network.predefined())

    def test_a_plan_has_no_effect_and_keeps_what_was_said(self, network: Network) -> None:
        for word in network.drivers:
            draft = self.draft(word)
            try:
                planned = asyncio.run(network.plan(draft))
            except MobyError as error:
                assert str(error)  # a driver that wants an option says which
                continue
            assert (planned.id, planned.name, planned.driver) == (draft.id, draft.name, draft.driver)
            assert planned.sandbox in SANDBOXES
            assert asyncio.run(network.plan(draft)) == planned

    def test_it_takes_its_own_words_only(self, network: Network) -> None:
        assert all(network.takes(word) for word in network.drivers)
        assert not network.takes("surely-not-a-driver")

    def test_removing_what_was_never_made_is_no_error(self, network: Network) -> None:
        for word in network.drivers:
            asyncio.run(network.remove(replace(self.draft(word), id="d" * 64)))

    def test_idle_networks_attach_and_detach(self, network: Network) -> None:
        for record in network.predefined():
            if record.sandbox in ("empty", "host"):
                request = self.request(record, Sandbox(mode=record.sandbox))
                attachment = asyncio.run(network.attach(request))
                assert attachment.container_id == CONTAINER
                for seen in (attachment, None):
                    asyncio.run(network.detach(request, seen))

    def test_recover_with_nobody(self, network: Network) -> None:
        asyncio.run(network.recover([]))

    # -- for subclasses that furnish real sandboxes ----------------------------------------------

    def endpoint_lives(self, network: Network, record: NetworkRecord, request: AttachRequest) -> Attachment:
        """Make, make again, attach, attach again, detach twice, remove twice; returns the attachment."""
        assert os.geteuid() == 0

        async def life() -> Attachment:
            made = await network.create(record)
            assert await network.create(made) == made
            first = await network.attach(request)
            again = await network.attach(request)
            assert (again.ipv4, again.ipv6, again.mac) == (first.ipv4, first.ipv6, first.mac)
            await network.detach(request, first)
            await network.detach(request, None)
            await network.remove(made)
            await network.remove(made)
            return first

        return asyncio.run(life())

    @staticmethod
    def draft(driver: str) -> NetworkRecord:
        return NetworkRecord(id="e" * 64, name="kit", driver=driver, sandbox="private")

    @staticmethod
    def request(record: NetworkRecord, sandbox: Sandbox) -> AttachRequest:
        return AttachRequest(
            container_id=CONTAINER,
            container_name="kit",
            network=replace(record, id=record.id or "e" * 64),
            sandbox=sandbox,
            endpoint_id="f" * 64,
        )
