"""Docker's EndpointSettings and PortBindings, checked before they are kept: what comes in goes into
/etc/hosts, the resolver and the kernel at each start, and out again by inspect."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

from moby_components.engine.moby.networking.pools import check_mac
from moby_py.errors import InvalidArgument

IFNAME = "com.docker.network.endpoint.ifname"
MOST_ALIASES, MOST_OPTIONS, MOST_PORTS = 256, 256, 8192
_ALIAS = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")
_LINK = re.compile(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(:[A-Za-z0-9_./-]{1,253})?")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_NOT_FREE = frozenset({"lo", "all", "default"})
_PRIORITIES = 1 << 31
_HOST_PORT = re.compile(r"([0-9]{1,5})(-[0-9]{1,5})?|")


def check_settings(settings: object) -> None:
    """Raises InvalidArgument for what no network could give, whatever its subnets are."""
    if not isinstance(settings, Mapping):
        raise InvalidArgument("invalid endpoint settings - they are not an object")
    _aliases(settings.get("Aliases"))
    check_links(settings.get("Links"))
    _addresses(settings.get("IPAMConfig"))
    hardware = settings.get("MacAddress")
    if hardware is not None and not isinstance(hardware, str):
        raise InvalidArgument("invalid endpoint settings - MacAddress is not a text")
    if hardware:
        check_mac(hardware)
    priority = settings.get("GwPriority")
    if priority is not None and (type(priority) is not int or abs(priority) >= _PRIORITIES):
        raise InvalidArgument("invalid endpoint settings - GwPriority is not a whole number of 32 bits")
    options = settings.get("DriverOpts")
    if options is not None:
        if not isinstance(options, Mapping) or len(options) > MOST_OPTIONS:
            raise InvalidArgument(
                f"invalid endpoint settings - DriverOpts is not an object of at most {MOST_OPTIONS} texts"
            )
        if not all(isinstance(value, str) for value in options.values()):
            raise InvalidArgument("invalid endpoint settings - DriverOpts holds something that is no text")
        if options.get(IFNAME):
            check_interface(options[IFNAME])


def check_links(value: object) -> None:
    """CONTAINER[:NAME], which goes into /etc/hosts. Raises InvalidArgument."""
    if value is None:
        return
    if not isinstance(value, list | tuple) or len(value) > MOST_ALIASES:
        raise InvalidArgument(f"invalid links - they are not a list of at most {MOST_ALIASES} texts")
    for link in value:
        if not isinstance(link, str) or not _LINK.fullmatch(link):
            raise InvalidArgument(f"bad format for links: {str(link)[:100]}")


def check_interface(name: str) -> None:
    """An interface's name inside a container. Raises InvalidArgument."""
    if not _INTERFACE.fullmatch(name) or name in _NOT_FREE:
        raise InvalidArgument(
            f"invalid interface name {name[:100]!r} - give up to 15 letters, digits, '_', '.', '-'"
        )


def check_ports(bindings: object) -> None:
    """The shape of HostConfig.PortBindings, the host's side of it and their number. InvalidArgument."""
    if not isinstance(bindings, Mapping):
        raise InvalidArgument("invalid HostConfig.PortBindings - it must be an object")
    for key, wanted in bindings.items():
        for binding in wanted or ():
            if not isinstance(binding, Mapping):
                raise InvalidArgument(f"invalid HostConfig.PortBindings.{key} - it holds no objects")
            port, address = binding.get("HostPort") or "", binding.get("HostIp") or ""
            if not isinstance(port, str) or not _HOST_PORT.fullmatch(port):
                raise InvalidArgument(f"invalid port specification: '{str(port)[:100]}'")
            if address and not _published(address):
                raise InvalidArgument(f"invalid IP address: {str(address)[:100]}")


def check_number(ports: int) -> None:
    """Each published port is held by sockets of the daemon. Raises InvalidArgument."""
    if ports > MOST_PORTS:
        raise InvalidArgument(
            f"cannot publish that many ports of one container - at most {MOST_PORTS}",
            hint="publish fewer, or give the container the host's network (--network host)",
        )


def _aliases(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, list | tuple) or len(value) > MOST_ALIASES:
        raise InvalidArgument(
            f"invalid endpoint settings - Aliases is not a list of at most {MOST_ALIASES} texts"
        )
    for alias in value:
        if not isinstance(alias, str):
            raise InvalidArgument("invalid endpoint settings - Aliases holds something that is no text")
        if not _ALIAS.fullmatch(alias):
            raise InvalidArgument(
                f"invalid network alias: {alias[:100]!r} - up to 253 letters, digits, and inside also "
                "'.' and '-'"
            )


def _addresses(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise InvalidArgument("invalid endpoint settings - IPAMConfig is not an object")
    for key, version in (("IPv4Address", 4), ("IPv6Address", 6)):
        text = value.get(key)
        if text and not (isinstance(text, str) and _version(text) == version):
            raise InvalidArgument(f"invalid IPv{version} address: {str(text)[:100]}")


def _published(text: object) -> bool:
    return isinstance(text, str) and bool(_version(text)) and not ipaddress.ip_address(text).is_multicast


def _version(text: str) -> int:
    """4, 6, or 0 for what is no address (of no particular interface)."""
    try:
        return 0 if "%" in text else ipaddress.ip_address(text).version
    except ValueError:
        return 0
