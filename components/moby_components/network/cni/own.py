"""The networks that exist without being made: the default one and the blueprint's own lists.

`build` writes each as OUT/etc/network/ID/NAME.conflist, and there the platform reads them again: what
runs is what can be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby_components.network.cni import conflist, drivers
from moby_py.errors import InvalidArgument
from moby_py.model import NetworkRecord

DEFAULT = "bridge"
_LARGEST = conflist.LARGEST + 1


def default_record(options: Mapping[str, Any]) -> NetworkRecord:
    """The network that containers are on unasked. Raises InvalidArgument."""
    four = {"Subnet": options.get("subnet"), "Gateway": options.get("gateway")}
    six = {"Subnet": options.get("subnet6")}
    if four["Gateway"] and not four["Subnet"]:
        raise InvalidArgument(f"gateway {four['Gateway']} has no subnet - set subnet too")
    pools = [{key: str(value) for key, value in pool.items() if value} for pool in (four, six)]
    return NetworkRecord(
        id="",
        name=DEFAULT,
        driver="bridge",
        sandbox="private",
        addressing="engine",
        names="none",
        ipv6=bool(six["Subnet"]),
        ipam={"Driver": "default", "Options": None, "Config": [pool for pool in pools if pool]},
        builtin=True,
    )


def lists(options: Mapping[str, Any], platform: str, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Name -> configuration list, the default first; from `folder` where `build` has written it, else
    from the options. Raises InvalidArgument."""
    own: Mapping[str, Any] = options.get("networks") or {}
    found: dict[str, dict[str, Any]] = {}
    for name in (DEFAULT, *(n for n in own if n != DEFAULT)):
        written = folder / f"{name}.conflist" if folder is not None else None
        if written is not None and written.is_file():
            found[name] = conflist.parse(_read(written), str(written))
        elif name in own:
            found[name] = _own(name, own[name], platform)
        else:
            found[name] = drivers.rendered(default_record(options), platform, options.get("chain") or ())
    return found


def record(name: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> NetworkRecord:
    """The predefined network of a list of the user's."""
    if name == DEFAULT and DEFAULT not in (options.get("networks") or {}):
        return default_record(options)
    addressing = conflist.addressing(config)
    names = "component" if any(p["type"] == "dnsname" for p in config["plugins"]) else "engine"
    return NetworkRecord(
        id="",
        name=name,
        driver="bridge" if name == DEFAULT else "cni",
        sandbox="private",
        addressing=addressing,
        names="none" if name == DEFAULT else names,
        ipam=ipam(config) if addressing == "component" else {},
        builtin=True,
    )


def ipam(config: Mapping[str, Any]) -> dict[str, Any]:
    """Docker's IPAM object for what a host-local or static configuration says, as far as it does."""
    found: list[dict[str, str]] = []
    for plugin in config["plugins"]:
        ipam = plugin.get("ipam") or {}
        ranges = [r for group in ipam.get("ranges") or [] for r in group] or [ipam]
        for one in ranges:
            if one.get("subnet"):
                entry = {"Subnet": str(one["subnet"]), "Gateway": str(one.get("gateway") or "")}
                found.append({key: value for key, value in entry.items() if value})
    return {"Driver": "default", "Options": None, "Config": found}


def _own(name: str, given: object, platform: str) -> dict[str, Any]:
    where = f"networks.{name}"
    if isinstance(given, str):
        path = Path(given)
        try:
            return conflist.parse(_read(path), str(path))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InvalidArgument(f"{where}: cannot read {path} - {reason}") from error
    if isinstance(given, Mapping) and "name" not in given:
        given = {"name": f"{platform}-{name}", **given}
    return conflist.checked(given, where)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST)
