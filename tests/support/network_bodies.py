"""Random bodies for the network parts of the API: keys that mean something, values of any kind."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

OPTION = "com.docker.network."
WORDS = st.sampled_from(
    ["", "app", "further", "bridge", "host", "none", "default", "live", "cable", "10.50.0.2", "10.77.0.0/24",
     "fd00:77::/64", "02:42:00:00:00:07", "0", "1", "true", "-1", "80/tcp", "../x",
     "a\nb", "a\0b", "\ud800", "x" * 300]
)  # fmt: skip
KEYS = st.sampled_from(
    ["Name", "Driver", "Internal", "EnableIPv6", "IPAM", "Config", "Subnet", "Gateway", "IPRange", "Options",
     "AuxiliaryAddresses", "Labels", "Container", "EndpointConfig", "EndpointsConfig", "IPAMConfig",
     "Aliases",
     "IPv4Address", "IPv6Address", "MacAddress", "DriverOpts", "GwPriority", "Links", "NetworkID",
     OPTION + "bridge.name", OPTION + "driver.mtu", OPTION + "endpoint.ifname", "app", "further"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=8)
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=4),
    max_leaves=10,
)


def shaped(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object in which each field is absent, as it should be, or anything."""
    return st.fixed_dictionaries({}, optional={key: value | ANY for key, value in fields.items()})


MAPS = st.dictionaries(KEYS, WORDS | ANY, max_size=3)
CONFIG = shaped(Subnet=WORDS, Gateway=WORDS, IPRange=WORDS, AuxiliaryAddresses=MAPS)
IPAM = shaped(Driver=WORDS, Config=st.lists(CONFIG, max_size=2), Options=MAPS)
CREATE = shaped(Name=WORDS, Driver=WORDS, Internal=ANY, EnableIPv6=ANY, IPAM=IPAM, Options=MAPS, Labels=MAPS)
ENDPOINT = shaped(
    IPAMConfig=shaped(IPv4Address=WORDS, IPv6Address=WORDS, LinkLocalIPs=ANY),
    Aliases=st.lists(WORDS, max_size=3), MacAddress=WORDS, DriverOpts=MAPS, GwPriority=st.integers(),
    Links=ANY,
)  # fmt: skip
ENDPOINTS = st.dictionaries(WORDS, ENDPOINT | ANY, max_size=3)
