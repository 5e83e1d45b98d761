"""What the options come to on the host: one plugin program per type, and what plugins start themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moby_components.network.cni import conflist, drivers, own
from moby_components.network.cni.plugin import PACKAGE
from moby_py.errors import MobyError
from moby_py.needs import Binary, Need

DIRS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
_BY_IPTABLES = frozenset({"bridge", "ptp", "portmap", "firewall"})


def of(options: Mapping[str, Any]) -> tuple[Need, ...]:
    """The plugins of the predefined networks must be there; those that only `network create` with
    another driver word takes are optional."""
    dirs = tuple(options.get("plugin_dirs") or DIRS)
    wanted: set[str] = set()
    try:
        for config in own.lists(options, "check").values():
            wanted.update(conflist.types(config))
    except MobyError:  # a list that cannot be read: `native_config` says so with its place
        wanted.update(("bridge", "static"))
    wanted.update(str(extra["type"]) for extra in options.get("chain") or ())
    others = {*drivers.WORDS.values(), "bandwidth"} - wanted
    needs: list[Need] = [_program(type, dirs) for type in sorted(wanted)]
    needs += [_program(type, dirs, optional=True) for type in sorted(others)]
    needs.append(Binary("nft", package="nftables"))
    if wanted & _BY_IPTABLES:
        needs += [Binary("iptables", package="iptables"), Binary("ip6tables", package="iptables")]
    return tuple(needs)


def _program(type: str, dirs: Iterable[str], *, optional: bool = False) -> Binary:
    candidates = [Path(folder, type) for folder in dirs]
    path = next((path for path in candidates if path.is_file()), candidates[0])
    # A plugin tells the versions of the specification it speaks, not its own.
    way_out = f"apt-get install {PACKAGE}"  # the path is ours, not the user's
    return Binary(type, PACKAGE, version_args=(), path=str(path), optional=optional, hint=way_out)
