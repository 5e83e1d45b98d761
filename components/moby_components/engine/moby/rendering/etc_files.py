"""The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf. Pure; the engine writes them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moby_py.errors import InvalidArgument

_HOSTS = (
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
)


def extra_hosts(host: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """HostConfig.ExtraHosts as (name, address). `host-gateway` stays a word. Raises InvalidArgument."""
    found = []
    for text in host.get("ExtraHosts") or ():
        name, sign, address = text.partition("=") if "=" in text else text.partition(":")
        bare = address.removeprefix("[").removesuffix("]")
        if not sign or not name or any(c.isspace() for c in name):
            raise InvalidArgument(f'bad format for add-host: "{text}"')
        if bare != "host-gateway":
            _address(bare, f'invalid IP address in add-host: "{bare}"')
        found.append((name, bare))
    return tuple(found)


def hosts_file(
    extra: Iterable[tuple[str, str]],
    *,
    addresses: Sequence[str] = (),
    hostname: str = "",
    domainname: str = "",
    gateway: str = "",
    base: str = _HOSTS,
) -> str:
    """`addresses` are the container's own, without prefix length. An entry for `host-gateway` of a
    container that has no gateway points at the loopback."""
    lines = [
        f"{gateway or '127.0.0.1' if address == 'host-gateway' else address}\t{name}\n"
        for name, address in extra
    ]
    lines += [own_line(address, hostname, domainname) for address in addresses if address and hostname]
    return base + "".join(lines)


def own_line(address: str, hostname: str, domainname: str = "") -> str:
    """The container's own name at one of its addresses."""
    full = f"{hostname}.{domainname} {hostname}" if domainname else hostname
    return f"{address}\t{full}\n"


def is_own(line: str, hostname: str, domainname: str = "") -> bool:
    """Whether `own_line` made this line for some address."""
    _, tab, rest = line.partition("\t")
    return bool(tab) and f"x\t{rest.rstrip()}\n" == own_line("x", hostname, domainname)


def resolv_conf(host: Mapping[str, Any], *, servers: Sequence[str], of_host: str, own_loopback: bool) -> str:
    """`servers` come from the networks; `of_host` is the host's file, used for what neither they nor
    HostConfig say. With `own_loopback` the host's loopback resolvers are left out: they are not
    reachable from inside."""
    lines = [line.split() for line in of_host.splitlines() if line.strip() and line.lstrip()[0] not in "#;"]
    theirs = [line[1] for line in lines if line[0] == "nameserver" and len(line) > 1]
    if own_loopback:
        theirs = [server for server in theirs if not _loopback(server)]
    search = host.get("DnsSearch") or [
        w for line in lines if line[0] in ("search", "domain") for w in line[1:]
    ]
    options = host.get("DnsOptions") or [w for line in lines if line[0] == "options" for w in line[1:]]
    names = list(host.get("Dns") or servers or theirs)
    text = "".join(f"nameserver {name}\n" for name in names)
    if search and list(search) != ["."]:
        text += f"search {' '.join(search)}\n"
    return text + (f"options {' '.join(options)}\n" if options else "")


def check_dns(host: Mapping[str, Any]) -> None:
    for server in host.get("Dns") or ():
        _address(server, f"{server} is not an ip address")
    for word in (*(host.get("DnsSearch") or ()), *(host.get("DnsOptions") or ())):
        if any(c.isspace() for c in word):
            raise InvalidArgument(f"{word!r} is not a valid domain or option")


def _address(text: str, message: str) -> None:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        raise InvalidArgument(message) from None


def _loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return True
