"""One endpoint at a plugin: made, joined, left and deleted, each step written down before it is taken.

RequestAddress -> CreateEndpoint -> Join -> interface into the sandbox -> ProgramExternalConnectivity
RevokeExternalConnectivity -> Leave -> interface back -> DeleteEndpoint -> ReleaseAddress
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import asdict, replace
from typing import Any

from moby_components.common import links
from moby_components.network.remote import interface, pools, words
from moby_components.network.remote.client import Client, NotImplementedByPlugin
from moby_components.network.remote.records import Records
from moby_py.errors import MobyError, RuntimeFailed, Unavailable
from moby_py.model import Attachment, AttachRequest, PortBinding

Record = dict[str, Any]


async def connect(
    client: Client, ipam: Client | None, request: AttachRequest, network: Record, records: Records
) -> Attachment:
    """Join. Whatever was done is in `records` under the endpoint's id, for `disconnect`."""
    record: Record = {
        "driver": client.plugin.name,
        "ipam": network["ipam"],
        "network": request.network_id,
        "container": request.container_id,
        "sandbox": request.sandbox.path,
        "interface": request.interface,
        "source": "",
        "given": [],
    }
    id = request.endpoint_id
    ipv4, ipv6 = await _addresses(ipam, request, network, record, records)
    ids = {"NetworkID": request.network_id, "EndpointID": id}
    before = await asyncio.to_thread(interface.present)
    records.put(id, record)
    answer = await client.call(
        "NetworkDriver.CreateEndpoint", words.create_endpoint(request, ipv4, ipv6, request.mac)
    )
    name = client.plugin.name
    ipv4, ipv6, mac = words.endpoint_interface(name, answer, (ipv4, ipv6, request.mac))
    join = {**ids, "SandboxKey": request.sandbox.path, "Options": {}}
    joined = words.joined(name, await client.call("NetworkDriver.Join", join))
    if joined.source:
        if await asyncio.to_thread(interface.has, request.sandbox.path, request.interface):
            raise RuntimeFailed(f"the container has an interface {request.interface} already")
        record["source"] = joined.source
        records.put(id, record)
        gateways = [g for g in (joined.gateway4, joined.gateway6) if g] if request.default_route else []
        try:
            mac = await asyncio.to_thread(
                interface.take,
                name,
                joined.source,
                before,
                request.sandbox.path,
                request.interface,
                mac=mac,
                addresses=[a for a in (ipv4, ipv6) if a],
                gateways=gateways,
                routes=joined.routes,
            )
        except OSError as error:
            raise RuntimeFailed(f"cannot furnish the container's network - {error.strerror}") from error
    return await _finished(
        client,
        request,
        ids,
        Attachment(
            container_id=request.container_id,
            network_id=request.network_id,
            endpoint_id=id,
            interface=request.interface if joined.source else "",
            mac=mac,
            ipv4=ipv4,
            ipv6=ipv6,
            gateway4=joined.gateway4,
            gateway6=joined.gateway6,
        ),
        record,
        records,
    )


async def _finished(
    client: Client,
    request: AttachRequest,
    ids: dict[str, str],
    attachment: Attachment,
    record: Record,
    records: Records,
) -> Attachment:
    if request.ports:
        body = {**ids, "Options": words.port_options(request.ports)}
        with contextlib.suppress(NotImplementedByPlugin):  # not mandatory
            await client.call("NetworkDriver.ProgramExternalConnectivity", body)
        info = await client.call("NetworkDriver.EndpointOperInfo", ids)
        attachment = replace(attachment, ports=words.taken_ports(info, request.ports))
    record["attachment"] = asdict(attachment)
    records.put(attachment.endpoint_id, record)
    return attachment


async def _addresses(
    ipam: Client | None, request: AttachRequest, network: Record, record: Record, records: Records
) -> tuple[str, str]:
    """Of the engine's giving, or of the remote IPAM's: one of each family the network has."""
    if network["ipam"] == "null":
        return "", ""  # the driver chooses
    if ipam is None:
        return request.ipv4, request.ipv6
    found = {False: "", True: ""}
    for pool in network["pools"]:
        if found[pool["v6"]]:
            continue
        wish = request.ipv6 if pool["v6"] else request.ipv4
        given = await pools.address(ipam, pool, wish, mac=request.mac)
        found[pool["v6"]] = given
        record["given"].append([pool, given])
        records.put(request.endpoint_id, record)
    return found[False], found[True]


def attached(record: Record) -> Attachment | None:
    """The answer of an attach that came to its end and whose interface is still there."""
    said = record.get("attachment")
    if said is None or (record["source"] and not interface.has(record["sandbox"], record["interface"])):
        return None
    ports = tuple(PortBinding(**port) for port in said["ports"])
    return Attachment(**{**said, "ports": ports, "dns": tuple(said["dns"])})


async def disconnect(
    client: Client | None, ipam: Client | None, id: str, record: Record, records: Records, log: logging.Logger
) -> bool:
    """Undo it all. True when nothing is left; False where a plugin could not be reached: the container
    has no interface any more, and the record stays, for the plugin to be told later."""
    reached = client is not None
    ids = {"NetworkID": record["network"], "EndpointID": id}

    async def tell(which: Client | None, method: str, body: dict[str, Any]) -> None:
        nonlocal reached
        if which is None or not reached:
            reached = False
            return
        try:
            await which.call(method, body)
        except Unavailable as error:
            reached = False
            log.warning("%s", error)
        except MobyError as error:
            if not isinstance(error, NotImplementedByPlugin):
                log.info("%s: %s", method, error)  # it knows the endpoint no more

    await tell(client, "NetworkDriver.RevokeExternalConnectivity", ids)
    await tell(client, "NetworkDriver.Leave", ids)
    back = bool(record["source"]) and await asyncio.to_thread(
        interface.give_back, record["sandbox"], record["interface"], record["source"]
    )
    await tell(client, "NetworkDriver.DeleteEndpoint", ids)
    if back:  # a driver that is down cannot remove it, and some forget to
        await asyncio.to_thread(links.delete, record["source"])
    if record["given"]:
        for pool, given in record["given"]:
            body = {"PoolID": pool["id"], "Address": given.partition("/")[0]}
            await tell(ipam, "IpamDriver.ReleaseAddress", body)
    if reached:
        records.drop(id)
    return reached
