"""Address pools of a remote IPAM driver: asked for with the network, addresses with each endpoint."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from moby_components.network.remote.client import Client, NotImplementedByPlugin
from moby_py.errors import MobyError, RuntimeFailed

_GATEWAY = {"RequestAddressType": "com.docker.network.gateway"}
_MAC = "com.docker.network.endpoint.macaddress"
Pool = dict[str, Any]
"""{"id", "pool", "gateway", "v6", "aux": {NAME: ADDRESS}, "mac": whether addresses need the MAC}"""


async def request(client: Client, ipam: Mapping[str, Any], *, ipv6: bool) -> list[Pool]:
    """The pools of a new network with their gateways, all or none."""
    method = "IpamDriver.GetDefaultAddressSpaces"
    spaces = await client.call(method)
    (space,) = client.text(method, spaces, "LocalDefaultAddressSpace")
    needs_mac = await _needs_mac(client)
    wanted = [dict(config) for config in ipam.get("Config") or ()]
    if not any(":" not in (c.get("Subnet") or "") for c in wanted):
        wanted.insert(0, {})
    if ipv6 and not any(":" in (c.get("Subnet") or "") for c in wanted):
        wanted.append({"v6": True})
    made: list[Pool] = []
    try:
        for config in wanted:
            made.append(await _pool(client, space, config, ipam.get("Options") or {}, needs_mac))
            await _fill(client, made[-1], config)
    except BaseException:
        with contextlib.suppress(MobyError):
            await release(client, made)
        raise
    return made


async def _needs_mac(client: Client) -> bool:
    try:
        return (await client.call("IpamDriver.GetCapabilities")).get("RequiresMACAddress") is True
    except NotImplementedByPlugin:
        return False


async def _pool(
    client: Client, space: str, config: Mapping[str, Any], options: Mapping[str, Any], needs_mac: bool
) -> Pool:
    subnet = config.get("Subnet") or ""
    v6 = bool(config.get("v6")) or ":" in subnet
    body = {
        "AddressSpace": space,
        "Pool": subnet,
        "SubPool": config.get("IPRange") or "",
        "Options": dict(options),
        "V6": v6,
    }
    method = "IpamDriver.RequestPool"
    answer = await client.call(method, body)
    id, pool = client.text(method, answer, "PoolID", "Pool")
    try:
        network = ipaddress.ip_network(pool, strict=False)
    except ValueError as error:
        raise RuntimeFailed(
            f"plugin {client.plugin.name} answered {method} with garbage - no subnet {pool[:50]!r}"
        ) from error
    return {
        "id": id,
        "pool": str(network),
        "gateway": "",
        "v6": network.version == 6,
        "aux": {},
        "mac": needs_mac,
    }


async def _fill(client: Client, pool: Pool, config: Mapping[str, Any]) -> None:
    pool["gateway"] = await address(client, pool, config.get("Gateway") or "", options=_GATEWAY)
    for name, wish in (config.get("AuxiliaryAddresses") or {}).items():
        pool["aux"][name] = await address(client, pool, wish)


async def address(
    client: Client, pool: Pool, wish: str = "", *, mac: str = "", options: Mapping[str, str] | None = None
) -> str:
    """One address of the pool with its prefix length; `wish` (with or without one) or any."""
    method = "IpamDriver.RequestAddress"
    body = {
        "PoolID": pool["id"],
        "Address": wish.partition("/")[0],
        "Options": {**(options or {}), **({_MAC: mac} if mac and pool["mac"] else {})},
    }
    (found,) = client.text(method, await client.call(method, body), "Address")
    try:
        interface = ipaddress.ip_interface(found)
        if interface.ip not in ipaddress.ip_network(pool["pool"]):
            raise ValueError(found)
    except ValueError as error:
        raise RuntimeFailed(
            f"plugin {client.plugin.name} answered {method} with garbage - "
            f"{found[:50]!r} is no address of {pool['pool']}"
        ) from error
    return str(interface)


async def release_address(client: Client, pool: Pool, given: str) -> None:
    """Give an address back."""
    await client.call("IpamDriver.ReleaseAddress", {"PoolID": pool["id"], "Address": given.partition("/")[0]})


async def release(client: Client, pools: Sequence[Pool]) -> None:
    """Give gateways, auxiliary addresses and pools back; an address the plugin knows no more is no
    reason to keep its pool."""
    for pool in pools:
        for given in (pool["gateway"], *pool["aux"].values()):
            if given:
                with contextlib.suppress(RuntimeFailed):
                    await release_address(client, pool, given)
        await client.call("IpamDriver.ReleasePool", {"PoolID": pool["id"]})


def described(ipam: Mapping[str, Any], pools: Sequence[Pool]) -> dict[str, Any]:
    """Docker's IPAM object with what the plugin gave."""
    config = []
    for pool in pools:
        one = {"Subnet": pool["pool"], "Gateway": pool["gateway"].partition("/")[0]}
        if pool["aux"]:
            one["AuxiliaryAddresses"] = {name: a.partition("/")[0] for name, a in pool["aux"].items()}
        config.append(one)
    return {**ipam, "Config": config}
