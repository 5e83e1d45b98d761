"""Subnets: what may be asked for, what is chosen, and every refusal's whole text."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from moby_components.engine.moby.networking import pools
from moby_py.errors import InvalidArgument, MobyError, PermissionDenied, Unavailable


def test_defaults_of_a_subnet() -> None:
    found = pools.pool({"Subnet": "10.5.0.0/16"})
    assert found.config() == {"Subnet": "10.5.0.0/16", "Gateway": "10.5.0.1"}
    assert found.bounds() == (int(ip_network("10.5.0.0/16")[1]), int(ip_network("10.5.0.0/16")[-2]))


def test_everything_that_can_be_said() -> None:
    config = {
        "Subnet": "10.5.0.0/16",
        "IPRange": "10.5.7.0/24",
        "Gateway": "10.5.0.9",
        "AuxiliaryAddresses": {"router": "10.5.7.3"},
    }
    found = pools.pool(config)
    assert found.config() == config
    assert found.reserved == {int(ip_network("10.5.0.9/32")[0]), int(ip_network("10.5.7.3/32")[0])}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Subnet": "10.5.0.0"}, "invalid subnet 10.5.0.0: invalid CIDR address"),
        ({"Subnet": "10.5.0.7/16"}, "invalid subnet 10.5.0.7/16: it should be 10.5.0.0/16"),
        ({"Subnet": "a/b"}, "invalid subnet a/b: invalid CIDR address"),
        ({"Subnet": "0.0.0.0/0"}, "invalid subnet 0.0.0.0/0: it is larger than any network of one host"),
        (
            {"Subnet": "10.5.0.0/16", "IPRange": "10.6.0.0/24"},
            "invalid ip-range 10.6.0.0/24: parent subnet 10.5.0.0/16 doesn't contain ip-range",
        ),
        (
            {"Subnet": "10.5.0.0/16", "Gateway": "10.6.0.1"},
            "invalid gateway 10.6.0.1: parent subnet 10.5.0.0/16 doesn't contain this address",
        ),
        ({"Subnet": "10.5.0.0/16", "Gateway": "x"}, "invalid gateway x: invalid address"),
        (
            {"Subnet": "10.5.0.0/16", "AuxiliaryAddresses": {"a": "1.1.1.1"}},
            "invalid auxiliary address 1.1.1.1: parent subnet 10.5.0.0/16 doesn't contain this address",
        ),
    ],
)
def test_refusals(config: dict, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        pools.pool(config)
    assert caught.value.message == message


def test_a_free_subnet_touches_nobody() -> None:
    taken = [ip_network("10.212.0.0/20"), ip_network("10.212.16.7/32"), ip_network("fd00::/8")]
    assert pools.choose(pools.DEFAULT_POOLS, taken) == ip_network("10.212.32.0/20")


def test_used_up_pools() -> None:
    with pytest.raises(Unavailable) as caught:
        pools.choose([("10.0.0.0/24", 25)], [ip_network("10.0.0.0/8")])
    assert caught.value.message == "all predefined address pools have been fully subnetted"


def test_overlap() -> None:
    pools.check_overlap([ip_network("10.1.0.0/16"), ip_network("fd00::/64")], [ip_network("10.2.0.0/16")])
    with pytest.raises(PermissionDenied) as caught:
        pools.check_overlap([ip_network("10.1.2.0/24")], [ip_network("10.1.0.0/16")])
    assert caught.value.message == "invalid pool request: Pool overlaps with other one on this address space"


def test_unique_local_networks_differ() -> None:
    one, other = pools.unique_local("shop", "a" * 64), pools.unique_local("shop", "b" * 64)
    assert one != other
    assert one.prefixlen == 64
    assert one.subnet_of(ip_network("fd00::/8"))


def test_hardware_addresses() -> None:
    assert pools.mac("10.9.0.7/24", "c", "n") == "02:42:0a:09:00:07"
    assert pools.mac("", "c", "n") == pools.mac("", "c", "n") != pools.mac("", "d", "n")
    assert pools.check_mac("02-42-AA-00-00-01") == "02:42:aa:00:00:01"


@pytest.mark.parametrize("text", ["x", "02:42:0a:09:00", "01:42:0a:09:00:01", "02:42:0a:09:00:1"])
def test_hardware_addresses_that_are_none(text: str) -> None:
    with pytest.raises(MobyError) as caught:
        pools.check_mac(text)
    assert caught.value.message == f"invalid MAC address: {text}"
