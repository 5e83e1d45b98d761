"""The program between the world and the host's sockets: which one, and how it is told.

Either gives the world an interface with an address and default routes; what leaves there goes out from
sockets of the platform's user on the host. Neither lets the world at the host's loopback: the mapping
of the gateway's address to it is switched off, and so is all port forwarding of the program's own.
"""

from __future__ import annotations

import ipaddress
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby_components.network.pasta import launch
from moby_py.component import Service
from moby_py.needs import Binary

INTERFACE = "uplink0"
MTU = 65520
ADDRESS6, GATEWAY6 = "fd6d:6f62:7900::100", "fe80::2"
PACKAGES = {"pasta": "passt", "slirp4netns": "slirp4netns"}
SEARCH = "/usr/local/bin:/usr/bin:/bin"


def program(options: Mapping[str, Any]) -> Binary:
    """What the host must have under these options."""
    name = options.get("uplink", "auto")
    if name == "auto":
        others = not shutil.which("pasta") and not shutil.which("pasta", path=SEARCH)
        name = "slirp4netns" if others and shutil.which("slirp4netns") else "pasta"
    return Binary(name, package=PACKAGES[name])


def service(argv: tuple[str, ...], world: Path, record: Path) -> Service:
    """The program as a service that outlives the daemon, as containers do."""
    door = (sys.executable, "-I", "-S", launch.__file__, str(world), str(record))
    return Service(name=Path(argv[0]).name, argv=(*door, *argv), keep=True)


def arguments(name: str, world: Path, subnet: str, *, root: bool) -> tuple[str, ...]:
    """What the program is told. `root`: we are the host's root, which pasta would rather not be."""
    return slirp4netns(world, subnet) if name == "slirp4netns" else pasta(world, subnet, root=root)


def pasta(world: Path, subnet: str, *, root: bool) -> tuple[str, ...]:
    """An address of the world's own, not the host's: so the host can be reached under its own."""
    address, gateway, mask = addresses(subnet)
    arguments = ["--foreground", "--quiet", "--config-net", "--netns", str(world), "--ns-ifname", INTERFACE]
    arguments += ["--address", address, "--netmask", mask, "--gateway", gateway]
    arguments += ["--address", ADDRESS6, "--gateway", GATEWAY6]
    arguments += ["--mtu", str(MTU), "--no-map-gw"]
    for direction in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        arguments += [direction, "none"]
    if root:
        arguments += ["--runas", "0"]  # as nobody it could not enter the world
    return tuple(arguments)


def slirp4netns(world: Path, subnet: str) -> tuple[str, ...]:
    arguments = ["--configure", f"--mtu={MTU}", f"--cidr={subnet}", "--enable-ipv6"]
    arguments += ["--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]
    return (*arguments, "--netns-type=path", str(world), INTERFACE)


def addresses(subnet: str) -> tuple[str, str, str]:
    """The world's address, the gateway's, and the mask, placed as slirp4netns places them."""
    network = ipaddress.IPv4Network(subnet, strict=False)
    return str(network[100]), str(network[2]), str(network.netmask)
