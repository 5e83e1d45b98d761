"""network/bridge keeps every promise of its kind; options and names without any kernel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.common.bridging import names
from moby_components.common.bridging.plan import Defaults, make_plan
from moby_components.common.nft import Nft, NftError
from moby_components.network.bridge.component import BridgeNetwork
from moby_py.errors import InvalidArgument, Unavailable
from moby_py.needs import Feature
from moby_py.testing import NetworkContract
from moby_py.testing.contracts.component import with_defaults
from moby_py.testing.room import make_context
from support.bridging import component, network, off, opened, ours, port, reaches, request
from support.worlds import HOST, World, world


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.mark.root
class TestContract(NetworkContract):
    component_class = BridgeNetwork


@pytest.mark.root
def test_an_endpoint_lives_and_leaves_nothing(tmp_path: Path, host: World) -> None:
    async def story() -> None:
        async with opened(tmp_path) as it:
            record, asked = network(), request(host, network(), 2)
            assert await it.create(record) == record
            assert await it.create(record) == record
            first = await it.attach(asked)
            assert await it.attach(asked) == first
            assert (first.ipv4, first.ipv6, first.mac) == ("10.9.0.2/16", "fd00:9::2/64", asked.mac)
            await it.detach(asked, first)
            await it.detach(asked, None)
            await it.remove(record)
            await it.remove(record)
            assert len(await off(ours, host)) == 2, "the tables, until it closes"

    host.play(story)
    assert ours(host) == []


def test_predefined_networks_and_their_options(tmp_path: Path) -> None:
    plain = component(tmp_path).predefined()
    assert [record.name for record in plain] == ["bridge", "host", "none"]
    assert plain[0].ipam["Config"] == []
    options = {"subnet": "10.1.0.0/24", "gateway": "10.1.0.7", "subnet6": "fd01::/64", "bridge_name": "br7"}
    given = component(tmp_path, **options).predefined()[0]
    assert given.ipam["Config"] == [{"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.7"}, {"Subnet": "fd01::/64"}]
    assert given.ipv6
    assert given.options == {"com.docker.network.bridge.name": "br7"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subnet": "10.1.0.7/24"}, "the default network cannot be made - 10.1.0.7/24 has host bits set"),
        ({"gateway": "10.1.0.1"}, "gateway 10.1.0.1 has no subnet - set subnet too"),
        ({"subnet": "10.1.0.0/24", "gateway": "10.2.0.1"}, "gateway 10.2.0.1 is not in 10.1.0.0/24"),
    ],
)
def test_options_that_cannot_be_meant(tmp_path: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        component(tmp_path, **options).predefined()
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "bridge.name",
            "much-too-long-a-name",
            "'much-too-long-a-name' is no name for an interface - com.docker.network.bridge.name takes up to "
            "15 letters",
        ),
        ("bridge.name", 'x" drop', None),
        (
            "bridge.enable_icc",
            "maybe",
            "com.docker.network.bridge.enable_icc is 'maybe' - it takes true or false",
        ),
        (
            "driver.mtu",
            "12",
            "com.docker.network.driver.mtu is '12' - it takes a number of bytes from 68 to 65535",
        ),
        (
            "bridge.host_binding_ipv4",
            "::1",
            "com.docker.network.bridge.host_binding_ipv4 is '::1' - it takes an IPv4 address of this host",
        ),
    ],
)
def test_malformed_options_of_a_network(key: str, value: str, message: str | None) -> None:
    draft = replace(network(), options={f"com.docker.network.{key}": value})
    with pytest.raises(InvalidArgument) as caught:
        make_plan(draft, "tagg", Defaults())
    if message:
        assert caught.value.message == message


def test_options_unknown_to_us_are_ignored_as_docker_does() -> None:
    draft = replace(network(), options={"com.docker.network.bridge.trusted": "x", "my.own": "y"})
    assert make_plan(draft, "tagg", Defaults()) == make_plan(network(), "tagg", Defaults())


def test_names_fit_the_kernel_and_tell_platforms_apart() -> None:
    tags = {names.tag(names.table(platform)) for platform in ("a", "b", "c" * 60, "a b", "ä")}
    assert len(tags) == 5
    made = {names.bridge(tag, "n" * 64) for tag in tags} | {
        names.veth(tag, "c" * 64, "n" * 64) for tag in tags
    }
    assert len(made) == 10
    assert all(len(name) == 15 and name.isascii() and name.isalnum() for name in made)
    assert names.table('x"; drop {') == "moby-py-x---drop--"


@pytest.mark.root
def test_an_ordinary_user_is_sent_to_pasta(tmp_path: Path) -> None:
    it = BridgeNetwork(
        make_context(BridgeNetwork, tmp_path, options=with_defaults(BridgeNetwork, {}), rootless=True)
    )
    with pytest.raises(Unavailable) as caught:
        asyncio.run(it.open())
    assert (caught.value.message, caught.value.hint) == (
        "network/bridge makes bridges in the host's network - an ordinary user may not",
        "use network/pasta",
    )


def test_check_refuses_it_to_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    from moby_py import probes, probes_network

    probes_network.bridge_networks.cache_clear()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    try:
        (need,) = BridgeNetwork.needs_for({})
        assert isinstance(need, Feature)
        found = probes.FEATURES[need.name]()
    finally:
        probes_network.bridge_networks.cache_clear()
    assert (found.ok, found.what, found.hint) == (
        False,
        "an ordinary user may not make bridges in the host's network",
        "use network/pasta",
    )


@pytest.mark.root
def test_check_tries_bridges_and_leaves_nothing() -> None:
    from moby_py import probes

    assert probes.bridge_networks() == probes.Probe(
        True, "bridges, veth pairs and nftables rules can be made"
    )
    assert not [name for _, name in socket.if_nameindex() if name.startswith("probe")]


@pytest.mark.root
@pytest.mark.parametrize("how", ["library", "program"])
def test_nft_by_library_and_by_program(host: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "program":
        monkeypatch.setattr("moby_components.common.nft.library._load", lambda: None)

    def work() -> None:
        with Nft() as nft:
            nft.run("add table inet one\nadd set inet one s { type inet_service; elements = { 80 }; }")
            assert "elements = { 80 }" in nft.run("list set inet one s")
            with pytest.raises(NftError) as caught:  # and nothing of the script is done
                nft.run("add element inet one s { 81 }\nadd element inet two s { 82 }")
            assert caught.value.message == "nftables refused - No such file or directory"
            assert "81" not in nft.run("list set inet one s")

    host.inside("host", work)


@pytest.mark.root
def test_bridges_work_without_the_library(
    tmp_path: Path, host: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moby_components.common.nft.library._load", lambda: None)

    async def story() -> None:
        async with opened(tmp_path, network()) as it:
            await it.attach(request(host, network(), 2, port(80, 8080)))
            await off(host.serve, "c2", 80)
            assert await reaches(host, "remote", HOST, 8080)

    host.play(story)
