"""What every `network` component promises (the part that needs no privileges)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from moby_py.errors import Conflict, NotFound
from moby_py.kinds import Network
from moby_py.testing.contracts.component import ComponentContract, with_defaults
from moby_py.testing.room import make_context

SANDBOXES = {"empty", "host", "private", "runtime"}


class NetworkContract(ComponentContract):
    """Override `options` where the component needs some."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def network(self, tmp_path: Path, options: dict[str, Any]) -> Network:
        cls = self.component_class
        component = cls(make_context(cls, tmp_path, options=with_defaults(cls, options)))
        assert isinstance(component, Network)
        asyncio.run(component.open())
        return component

    def test_the_default_network_exists(self, network: Network) -> None:
        record = asyncio.run(network.inspect(network.default))
        assert record.builtin
        assert record.sandbox in SANDBOXES

    def test_a_network_is_found_by_name_id_and_prefix(self, network: Network) -> None:
        for record in asyncio.run(network.list()):
            for word in (record.name, record.id, record.id[:12]):
                assert asyncio.run(network.inspect(word)) == record

    def test_an_unknown_network_is_not_found(self, network: Network) -> None:
        with pytest.raises(NotFound, match=r"^network surely-not-there not found$"):
            asyncio.run(network.inspect("surely-not-there"))

    def test_a_predefined_network_cannot_be_removed(self, network: Network) -> None:
        with pytest.raises(Conflict):
            asyncio.run(network.remove(network.default))

    def test_detach_twice_is_no_error(self, network: Network) -> None:
        record = asyncio.run(network.inspect(network.default))
        asyncio.run(network.detach("c" * 64, record.id))
        asyncio.run(network.detach("c" * 64, record.id))
