"""A chain of plugins run by the rules of the CNI specification 1.0, section 4 (execution of networks).

ADD goes forward and hands each result on, CHECK goes forward with the last result, DEL goes backward
with it, GC (from 1.1 on) tells every plugin who is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby_components.network.cni.plugin import Place, Plugins
from moby_py.errors import DataError, MobyError

Config = Mapping[str, Any]
"""A network configuration list as it is in the file, runtimeConfig already in its plugins."""

RULES_ONLY = frozenset({"portmap", "firewall"})
"""Plugins that make firewall rules of one container and nothing else."""


async def add(
    plugins: Plugins, config: Config, place: Place, lock: int, progress: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Join; the plugins inherit the descriptor `lock`, and `progress` is told each one's result and
    may refuse it. Raises MobyError of the first plugin that fails; the caller then calls `delete`."""
    result: dict[str, Any] = {}
    for plugin in config["plugins"]:
        document = _for_plugin(config, plugin, result or None)
        answer = await plugins.call(
            plugin["type"], "ADD", document, network=config["name"], place=place, keep=(lock,)
        )
        if answer is None or not isinstance(answer.get("ips", []), list):
            raise DataError(
                f"network {config['name']}: CNI plugin {plugin['type']} answered ADD with no result"
            )
        result = answer
        progress(result)
    return result


async def mend(
    plugins: Plugins, config: Config, place: Place, result: dict[str, Any], *, rules_only: bool = False
) -> None:
    """CHECK, and make host rules anew where only they are wrong. Raises MobyError when another plugin
    finds that its work is no longer there. A list that says `disableCheck`, or one older than CNI 0.4,
    is not asked.

    The specification knows no repair of one plugin. But `portmap` 1.1 looks for the IPv6 rules of a
    container that has no IPv6, and the interface of each container with a published port would be torn
    out at every start of the daemon for it.
    """
    if config.get("disableCheck") in (True, "true") or older(config["cniVersion"], "0.4.0"):
        return
    network = config["name"]
    for plugin in config["plugins"]:
        if rules_only and plugin["type"] not in RULES_ONLY:
            continue
        document = _for_plugin(config, plugin, result)
        try:
            await plugins.call(plugin["type"], "CHECK", document, network=network, place=place)
        except MobyError:
            if plugin["type"] not in RULES_ONLY:
                raise
            await plugins.call(plugin["type"], "DEL", document, network=network, place=place)
            await plugins.call(plugin["type"], "ADD", document, network=network, place=place)


async def delete(plugins: Plugins, config: Config, place: Place, result: dict[str, Any] | None) -> None:
    """Leave. Every plugin is asked even when one fails: half a clean-up is better than none. Raises
    the first failure at the end."""
    first: MobyError | None = None
    if older(config["cniVersion"], "0.4.0"):
        result = None  # prevResult on DEL came with 0.4
    for plugin in reversed(config["plugins"]):
        try:
            await plugins.call(
                plugin["type"],
                "DEL",
                _for_plugin(config, plugin, result),
                network=config["name"],
                place=place,
            )
        except MobyError as error:
            first = first or error
    if first is not None:
        raise first


async def collect(plugins: Plugins, config: Config, valid: Sequence[tuple[str, str]]) -> None:
    """GC: whatever belongs to none of `valid` (container id, interface) goes. Raises as `delete`."""
    first: MobyError | None = None
    attachments = [{"containerID": container, "ifname": interface} for container, interface in valid]
    for plugin in config["plugins"]:
        document = {**_for_plugin(config, plugin, None), "cni.dev/valid-attachments": attachments}
        try:
            await plugins.call(plugin["type"], "GC", document, network=config["name"])
        except MobyError as error:
            first = first or error
    if first is not None:
        raise first


async def common_version(plugins: Plugins, types: Sequence[str], wanted: str) -> str:
    """`wanted`, or the highest version that every plugin speaks where that is higher or `wanted` is
    not spoken by all; `wanted` where they have none in common (the plugin then says so itself)."""
    spoken: set[str] | None = None
    for type in types:
        versions = set(await plugins.versions(type))
        spoken = versions if spoken is None else spoken & versions
    known = [v for v in spoken or () if v in ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")]
    return max(known, key=_numbers) if known else wanted


def older(version: str, than: str) -> bool:
    return _numbers(version) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in version.split("."))


def _for_plugin(config: Config, plugin: Config, previous: dict[str, Any] | None) -> dict[str, Any]:
    """Section 4, "deriving execution configuration": name and version are the list's."""
    document = {**plugin, "name": config["name"], "cniVersion": config["cniVersion"]}
    if previous is not None:
        document["prevResult"] = previous
    return document
