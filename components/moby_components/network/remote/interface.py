"""The interface that a driver made: taken into the sandbox, and given back.

A driver names any interface of the host it likes. Only one that a driver makes for containers, and that
was not there before this endpoint was asked for, is taken: a plugin with a bug (or one that somebody got
hold of) must not move the host's eth0 into a container.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from moby_components.common import links
from moby_components.common.netlink import Netlink
from moby_components.common.netns import run_in
from moby_py.errors import RuntimeFailed

KINDS = frozenset({"veth", "macvlan", "macvtap", "ipvlan", "ipvtap", "vlan", "dummy", "tun"})


def present() -> frozenset[int]:
    """The indexes of the host's interfaces now."""
    with Netlink() as netlink:
        return frozenset(link.index for link in links.list_links(netlink))


def take(
    plugin: str,
    source: str,
    before: frozenset[int],
    sandbox: str,
    name: str,
    *,
    mac: str,
    addresses: Sequence[str],
    gateways: Sequence[str],
    routes: Sequence[tuple[str, str]],
) -> str:
    """Move `source` into the sandbox as `name` and furnish it. Returns its MAC. Raises RuntimeFailed
    where it is not the driver's to give, OSError where the kernel refuses."""
    link = links.find(source)
    if link is None:
        raise RuntimeFailed(f"plugin {plugin} names an interface that is not there: {source}")
    if link.kind not in KINDS or link.master:
        what = (
            f"a port of a bridge ({link.kind})" if link.master else f"a {link.kind or 'hardware'} interface"
        )
        raise RuntimeFailed(f"plugin {plugin} may not give away interface {source} - it is {what}")
    if link.index in before:
        raise RuntimeFailed(
            f"plugin {plugin} may not give away interface {source} - it was not made for this endpoint"
        )
    fd = os.open(sandbox, os.O_RDONLY | os.O_CLOEXEC)
    try:
        links.move(link.index, fd, name)
    finally:
        os.close(fd)

    def furnish() -> str:
        links.take(name, mac=mac, addresses=addresses, gateways=gateways, routes=routes)
        found = links.find(name)
        return found.mac if found else mac

    return run_in(sandbox, furnish)


def give_back(sandbox: str, name: str, source: str) -> bool:
    """Move it to the host under its old name, for the driver to remove. Idempotent; where the name is
    taken meanwhile it is deleted instead. Whether it is on the host now."""
    host = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def back() -> bool:
        link = links.find(name)
        if link is None or link.kind not in KINDS:
            return False
        try:
            links.move(link.index, host, source)
        except OSError:
            links.delete(name)
            return False
        return True

    try:
        if os.path.samestat(Path(sandbox).stat(), os.fstat(host)):
            return False
        return run_in(sandbox, back)
    except OSError:
        return False  # the sandbox is gone, and with it what was in it
    finally:
        os.close(host)


def has(sandbox: str, name: str) -> bool:
    """Whether the sandbox is there with that interface."""
    try:
        return run_in(sandbox, lambda: links.find(name)) is not None
    except OSError:
        return False
