"""network/none and network/host: predefined networks only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from moby_components.network.host import HostNetwork
from moby_components.network.none import NoNetwork
from moby_py.errors import Unsupported
from moby_py.model import AttachRequest, NetworkRecord, Sandbox
from support.context import make_context


def test_none_brings_one_network_and_host_two(tmp_path: Path) -> None:
    none, host = (c(make_context(c, tmp_path)) for c in (NoNetwork, HostNetwork))
    assert [(n.name, n.driver, n.sandbox) for n in none.predefined()] == [("none", "null", "empty")]
    assert [n.name for n in host.predefined()] == ["host", "none"]


def test_attach_is_idempotent_and_detach_too(tmp_path: Path) -> None:
    network = NoNetwork(make_context(NoNetwork, tmp_path))
    request = AttachRequest(
        container_id="c" * 64,
        container_name="c",
        network=network.predefined()[0],
        sandbox=Sandbox(mode="empty"),
    )
    first = asyncio.run(network.attach(request))
    assert asyncio.run(network.attach(request)) == first
    asyncio.run(network.detach(request, first))
    asyncio.run(network.detach(request, first))


def test_nothing_can_be_made(tmp_path: Path) -> None:
    network = NoNetwork(make_context(NoNetwork, tmp_path))
    draft = NetworkRecord(id="n" * 64, name="x", driver="bridge", sandbox="private")
    with pytest.raises(Unsupported, match=r"^cannot create network x - network/none only has none$"):
        asyncio.run(network.plan(draft))
