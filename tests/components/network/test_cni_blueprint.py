"""What a blueprint may say of network/cni and network/macvlan, and what a build makes of it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moby_components.network.cni import conflist, own, shared
from moby_components.network.cni.component import Cni
from moby_components.network.cni.results import bandwidth
from moby_components.network.macvlan.component import Macvlan
from moby_py.errors import InvalidArgument
from moby_py.model import Sandbox
from moby_py.testing import NetworkContract
from support.cni import id_of, left, rig
from support.worlds import World, command, world

BLUEPRINT = """
blueprint: 1
name: shop
components:
  runtime: crun
  image_store: overlay
  network:
    use: cni
    with: {options}
"""


def moby(folder: Path, options: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop.yaml").write_text(BLUEPRINT.format(options=options))
    argv = [sys.executable, "-m", "moby_py", words[0], "shop.yaml", *words[1:]]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.root
def test_build_writes_every_list_and_the_platform_reads_them(tmp_path: Path) -> None:
    own_list = {"cniVersion": "0.4.0", "name": "lab-net", "type": "ptp", "ipam": {"type": "static"}}
    (tmp_path / "lab.conf").write_text(json.dumps(own_list))
    options = "{subnet: 10.4.0.0/16, chain: [{type: tuning, mtu: 1400}], networks: {lab: ./lab.conf}}"
    assert moby(tmp_path, options, "build", "-o", "out").stderr == ""
    etc = tmp_path / "out/etc/network/cni"
    assert sorted(p.name for p in etc.iterdir()) == ["bridge.conflist", "lab.conflist"]
    assert json.loads((etc / "bridge.conflist").read_text()) == {
        "cniVersion": "1.0.0",
        "name": "shop-bridge",
        "plugins": [
            {
                "type": "bridge",
                "ipam": {"type": "static"},
                "capabilities": {"mac": True},
                "bridge": conflist.interface_name("shop", "bridge"),
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
            },
            {
                "type": "portmap",
                "capabilities": {"portMappings": True},
                "conditionsV6": ["!", "-d", "::1"],
            },
            {"type": "firewall"},
            {"type": "tuning", "mtu": 1400},
        ],
    }
    (tmp_path / "lab.conf").unlink()  # the platform is a directory of its own
    lists = own.lists({"networks": {"lab": str(tmp_path / "lab.conf")}}, "shop", etc)
    assert [(name, config["name"]) for name, config in lists.items()] == [
        ("bridge", "shop-bridge"),
        ("lab", "lab-net"),
    ]
    lock = (tmp_path / "out/platform.lock").read_text()
    assert "/usr/lib/cni/ptp" in lock
    assert "/usr/lib/cni/tuning" in lock
    first = {p.name: p.read_bytes() for p in etc.iterdir()}
    (tmp_path / "lab.conf").write_text(json.dumps(own_list))
    assert moby(tmp_path, options, "build", "-o", "again").returncode == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "again/etc/network/cni").iterdir()} == first


@pytest.mark.root
def test_check_names_the_package_of_a_missing_plugin(tmp_path: Path) -> None:
    some = tmp_path / "some"
    some.mkdir()
    for plugin in ("bridge", "static", "firewall"):
        shutil.copy2(f"/usr/lib/cni/{plugin}", some)
    done = moby(tmp_path, f"{{plugin_dirs: [{some}]}}", "check")
    assert done.returncode == 3
    assert f"missing   network/cni           there is no program {some}/portmap\n" in done.stdout
    assert "          hint: apt-get install containernetworking-plugins\n" in done.stdout
    assert f"warn      network/cni           there is no program {some}/macvlan\n" in done.stdout
    assert "shop can be built and run here" in moby(tmp_path, "{}", "check").stdout


@pytest.mark.root
def test_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "broken").write_text("{")
    for options, said in (
        ("{networks: {lab: ./nosuch}}", f"networks.lab: cannot read {tmp_path}/nosuch - no such file or directory"),  # noqa: E501
        ("{networks: {lab: ./broken}}", f"{tmp_path}/broken: it is not JSON - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),  # noqa: E501
        ("{networks: {lab: {plugins: []}}}", "networks.lab: plugins is not a list of plugin configurations"),
        ("{networks: {lab: {plugins: [{type: ../sh}]}}}", "networks.lab: plugins[0].type is not a plugin's file name"),  # noqa: E501
        ("{networks: {lab: {plugins: [{type: ptp, ipam: {type: a/b}}]}}}", "networks.lab: plugins[0].ipam.type is not a plugin's file name"),  # noqa: E501
        ("{networks: {lab: {name: 'a b', type: ptp}}}", "networks.lab: name is not a network's name of letters, digits, '_', '.' and '-'"),  # noqa: E501
        ("{networks: {lab: {cniVersion: new, type: ptp}}}", 'networks.lab: cniVersion is not a version such as "1.0.0"'),  # noqa: E501
        ("{gateway: 10.1.0.1}", "gateway 10.1.0.1 has no subnet - set subnet too"),
    ):  # fmt: skip
        done = moby(tmp_path, options, "build", "-o", "out")
        assert done.stderr.splitlines()[0] == f"error: network/cni: {said}", options
        assert not (tmp_path / "out").exists()


@pytest.mark.root
@pytest.mark.parametrize(
    "options",
    [
        "{plugin_dirs: [relative]}",
        "{plugin_dirs: ['/a:/b']}",
        "{chain: [{mtu: 3}]}",
        "{chain: [{type: a/b}]}",
        "{networks: {../x: {}}}",
        "{networks: {lab: 7}}",
        "{timeout: 0}",
        "{subnets: x}",
    ],
)
def test_the_schema_refuses(tmp_path: Path, options: str) -> None:
    done = moby(tmp_path, options, "check")
    assert done.returncode == 2
    assert "shop.yaml:" in done.stdout + done.stderr


def test_conflist_forms() -> None:
    one = conflist.parse('{"name": "n", "cniVersion": "0.3.1", "type": "ptp"}', "here")
    assert one == {"name": "n", "cniVersion": "0.3.1", "plugins": [{"type": "ptp"}]}
    many = conflist.parse(
        '{"name": "n", "cniVersion": "1.1.0", "cniVersions": ["0.4.0", "1.0.0"], "plugins": [{"type": "a"}]}',
        "here",
    )
    assert many["cniVersion"] == "1.0.0"
    for text, said in (
        ("[]", "here: a network configuration is an object"),
        ("x" * (conflist.LARGEST + 1), "here: it is larger than 1 MiB - that is no network configuration"),
        ('{"name": "n", "plugins": [7]}', "here: plugins[0].type is not a plugin's file name"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            conflist.parse(text, "here")
        assert caught.value.message == said
    with pytest.raises(InvalidArgument, match=r"^here: it is not JSON - "):
        conflist.parse("[" * 200_000, "here")


@pytest.mark.parametrize(
    ("plugin", "giver"),
    [
        ({"type": "x"}, "none"),
        ({"type": "x", "ipam": {}}, "none"),
        ({"type": "x", "ipam": {"type": "static"}}, "engine"),
        ({"type": "x", "ipam": {"type": "static", "addresses": [{"address": "10.0.0.2/24"}]}}, "component"),
        ({"type": "x", "ipam": {"type": "host-local"}}, "component"),
        ({"type": "x", "ipam": {"type": "dhcp"}}, "component"),
    ],
)
def test_who_gives_addresses(plugin: dict[str, Any], giver: str) -> None:
    assert conflist.addressing({"plugins": [plugin]}) == giver


def test_rates() -> None:
    assert bandwidth({}) == {}
    assert bandwidth({"bandwidth.ingress": "10Mbit", "bandwidth.egress": "64k"}) == {
        "ingressRate": 10_000_000,
        "ingressBurst": 5_000_000,
        "egressRate": 64_000,
        "egressBurst": 262_144,
    }
    with pytest.raises(InvalidArgument):
        bandwidth({"bandwidth.ingress": "0"})


def test_names_fit_an_interface_and_differ() -> None:
    names = {conflist.interface_name(p, n) for p in ("a", "b") for n in ("a", "b", "c")}
    assert len(names) == 6
    assert max(map(len, names)) <= 15


SHARED = """-P FORWARD ACCEPT
-N CNI-ADMIN
-N CNI-FORWARD
-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD
-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN
"""


@pytest.mark.parametrize(
    "rule",
    [
        "-A CNI-FORWARD -s 10.88.0.7/32 -j ACCEPT",
        "-A CNI-ADMIN -s 10.0.0.0/8 -j RETURN",
        "-A KUBE-FORWARD -j CNI-FORWARD",
    ],
)
def test_shared_chains_stay_while_somebody_uses_them(rule: str) -> None:
    assert shared.idle("filter", [*SHARED.splitlines(), rule]) == []
    assert shared.idle("filter", SHARED.splitlines()) == [
        '-D FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
        "-F CNI-ADMIN",
        "-F CNI-FORWARD",
        "-X CNI-ADMIN",
        "-X CNI-FORWARD",
    ]


@pytest.mark.root
def test_two_platforms_on_one_host(tmp_path: Path) -> None:
    """The end of one takes nothing from the other: same plugins, same shared chains."""
    with rig(tmp_path) as it:
        other = type(it)(it.world, tmp_path / "other", Cni, {})

        async def story() -> None:
            mine = await it.default()
            theirs = await other.default("10.79.0.0/16", "10.79.0.1")
            await it.join("a", mine, "10.71.0.2")
            await other.join("b", theirs, "10.79.0.2")
            it.world.serve("b", 80)
            await it.end()
            assert await asyncio.to_thread(it.world.ask, "host", "10.79.0.2", 80) == b"hello"
            rules = it.world.inside("host", lambda: command("iptables", "-S"))
            assert "-A CNI-FORWARD -s 10.79.0.2/32 -j ACCEPT" in rules
            await other.end()
            assert left(it.world) == []

        it.world.play(story)


class TestCniContract(NetworkContract):
    component_class = Cni


class TestMacvlanContract(NetworkContract):
    component_class = Macvlan


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


@pytest.mark.root
@pytest.mark.parametrize("cls", [Cni, Macvlan], ids=["cni", "macvlan"])
def test_an_endpoint_lives(tmp_path: Path, host: World, cls: Any) -> None:
    """The kit's life of an endpoint, on a host of the test's own."""
    from support.cni import Rig

    it = Rig(host, tmp_path / "r", cls, {})
    driver = "bridge" if cls is Cni else "macvlan"
    contract = TestCniContract()
    draft = replace(
        contract.draft(driver), ipam={"Config": [{"Subnet": "10.72.0.0/24", "Gateway": "10.72.0.1"}]}
    )
    record = asyncio.run(it.component.plan(draft))
    asked = replace(
        contract.request(record, Sandbox(mode="private", path=host.make("kit"))),
        container_id=id_of("kit"),
        ipv4="10.72.0.5/24",
        gateway4="" if record.internal else "10.72.0.1",
        mac="02:42:0a:48:00:05",
    )
    made = host.inside("host", lambda: contract.endpoint_lives(it.component, record, asked))
    assert (made.ipv4, made.mac) == ("10.72.0.5/24", "02:42:0a:48:00:05")
    host.inside("host", lambda: asyncio.run(it.component.close()))
    assert left(host) == []
