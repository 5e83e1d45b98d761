"""Network configuration lists (CNI specification 1.0, section 1): read, checked, and rendered by us.

A list that a user brings is taken as it is. For `docker network create` and the default network a list
is rendered from the driver word: the interface plugin with the `static` IPAM plugin - addresses are the
engine's -, then portmap, firewall, and what the blueprint adds in `chain`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moby_components.network.cni.plugin import TYPE
from moby_py.errors import InvalidArgument

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,200}")
LARGEST = 1 << 20
INTERFACE = re.compile("cni[0-9a-f]{5}-[0-9a-f]{6}")
VERSION = "1.0.0"


def parse(text: str | bytes, where: str) -> dict[str, Any]:
    """A list from its JSON; a single plugin's configuration becomes a list of one.

    Raises InvalidArgument, whose text begins with `where`.
    """
    if len(text) > LARGEST:
        raise InvalidArgument(f"{where}: it is larger than 1 MiB - that is no network configuration")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{where}: it is not JSON - {error}") from None
    return checked(data, where)


def checked(data: object, where: str) -> dict[str, Any]:
    """The same for a configuration that is already a mapping."""
    if not isinstance(data, Mapping):
        raise InvalidArgument(f"{where}: a network configuration is an object")
    config = dict(data)
    if "plugins" not in config and "type" in config:
        own = {key: config.pop(key) for key in ("cniVersion", "name") if key in config}
        config = {**own, "plugins": [config]}
    version = config.setdefault("cniVersion", VERSION)
    offered = [v for v in config.get("cniVersions") or () if isinstance(v, str)]
    if not isinstance(version, str) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise InvalidArgument(f'{where}: cniVersion is not a version such as "{VERSION}"')
    if offered and version not in offered:
        config["cniVersion"] = sorted(offered)[-1]
    if not isinstance(config.get("name"), str) or not NAME.fullmatch(config["name"]):
        raise InvalidArgument(f"{where}: name is not a network's name of letters, digits, '_', '.' and '-'")
    plugins = config.get("plugins")
    if not isinstance(plugins, list) or not 0 < len(plugins) <= 32:
        raise InvalidArgument(f"{where}: plugins is not a list of plugin configurations")
    for number, plugin in enumerate(plugins):
        if not isinstance(plugin, Mapping) or not _is_type(plugin.get("type")):
            raise InvalidArgument(f"{where}: plugins[{number}].type is not a plugin's file name")
        ipam = plugin.get("ipam", {})
        if not isinstance(ipam, Mapping) or (ipam and not _is_type(ipam.get("type"))):
            raise InvalidArgument(f"{where}: plugins[{number}].ipam.type is not a plugin's file name")
    return config


def types(config: Mapping[str, Any]) -> Iterator[str]:
    """Every plugin program that a list runs, the IPAM plugins included."""
    for plugin in config["plugins"]:
        yield plugin["type"]
        if plugin.get("ipam"):
            yield plugin["ipam"]["type"]


def addressing(config: Mapping[str, Any]) -> str:
    """Who gives addresses: "engine" where the first plugin's `static` IPAM has none of its own,
    "component" for any other IPAM, "none" without one."""
    ipam = next((p["ipam"] for p in config["plugins"] if p.get("ipam")), None)
    if ipam is None:
        return "none"
    return "engine" if ipam["type"] == "static" and not ipam.get("addresses") else "component"


def bridge(config: Mapping[str, Any]) -> str:
    """The bridge that a list's first plugin joins containers to; "" where it is of another type."""
    first = config["plugins"][0]
    return str(first.get("bridge") or "cni0") if first["type"] == "bridge" else ""


def interface_name(platform: str, network: str) -> str:
    """The bridge of a network: recognisable as the platform's, within 15 bytes."""
    platform, network = (hashlib.sha256(word.encode()).hexdigest() for word in (platform, network))
    return f"cni{platform[:5]}-{network[:6]}"


def rendered(
    driver: str,
    *,
    name: str,
    interface: str,
    internal: bool = False,
    masquerade: bool = True,
    mtu: int = 0,
    mode: str = "",
    chain: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The list for a driver word: "bridge", "ptp" or "macvlan". `interface` is the bridge or the
    parent. An entry of `chain` whose type is in the list already is laid over it."""
    masquerade = masquerade and not internal
    first: dict[str, Any] = {"type": driver, "ipam": {"type": "static"}, "capabilities": {"mac": True}}
    if mtu:
        first["mtu"] = mtu
    plugins: list[dict[str, Any]] = [first]
    if driver == "bridge":
        first |= {"bridge": interface, "isGateway": not internal, "ipMasq": masquerade, "hairpinMode": True}
    elif driver == "ptp":
        first |= {"ipMasq": masquerade}
        plugins.append({"type": "tuning", "capabilities": {"mac": True}})
    else:
        first |= {"master": interface, "mode": mode or "bridge"}
    if driver != "macvlan":
        if not internal:
            # [::1] turned to a container is dropped by the kernel; left alone it reaches our own socket.
            conditions = {"conditionsV6": ["!", "-d", "::1"]}
            plugins.append({"type": "portmap", "capabilities": {"portMappings": True}, **conditions})
        plugins.append({"type": "firewall"})
    for extra in chain:
        same = next((p for p in plugins if p["type"] == extra["type"]), None)
        if same is None:
            plugins.append(dict(extra))
        else:
            same.update(extra)
    return {"cniVersion": VERSION, "name": name, "plugins": plugins}


def text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2) + "\n"


def _is_type(value: object) -> bool:
    return isinstance(value, str) and TYPE.fullmatch(value) is not None
