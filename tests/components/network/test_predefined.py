"""network/none and network/host: predefined networks only."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from moby_components.network.host import HostNetwork
from moby_components.network.none import NoNetwork
from moby_py.errors import Conflict, NotFound, Unsupported
from moby_py.model import AttachRequest, Sandbox
from support.context import make_context


def test_none_brings_one_network_and_host_two(tmp_path: Path) -> None:
    none, host = (c(make_context(c, tmp_path)) for c in (NoNetwork, HostNetwork))
    assert [(n.name, n.driver, n.sandbox) for n in asyncio.run(none.list())] == [("none", "null", "empty")]
    assert [n.name for n in asyncio.run(host.list())] == ["host", "none"]
    assert (none.default, host.default) == ("none", "host")


def test_ids_are_stable_and_found_by_prefix(tmp_path: Path) -> None:
    network = NoNetwork(make_context(NoNetwork, tmp_path))
    record = asyncio.run(network.inspect("none"))
    assert re.fullmatch("[0-9a-f]{64}", record.id)
    assert asyncio.run(NoNetwork(make_context(NoNetwork, tmp_path)).inspect(record.id[:12])) == record
    for wrong in ("host", "", "zz"):
        with pytest.raises(NotFound, match=rf"^network {wrong} not found$"):
            asyncio.run(network.inspect(wrong))


def test_attach_is_idempotent_and_detach_too(tmp_path: Path) -> None:
    network = NoNetwork(make_context(NoNetwork, tmp_path))
    request = AttachRequest(
        container_id="c" * 64, container_name="c", network_id="none", sandbox=Sandbox(mode="empty")
    )
    first = asyncio.run(network.attach(request))
    assert asyncio.run(network.attach(request)) == first
    asyncio.run(network.detach("c" * 64, first.network_id))
    asyncio.run(network.detach("c" * 64, first.network_id))


def test_nothing_can_be_made_or_removed(tmp_path: Path) -> None:
    network = NoNetwork(make_context(NoNetwork, tmp_path))
    with pytest.raises(Unsupported, match=r"^cannot create network x - network/none only has none$"):
        asyncio.run(network.create("x"))
    with pytest.raises(Conflict, match=r"^none is a pre-defined network and cannot be removed$"):
        asyncio.run(network.remove("none"))
