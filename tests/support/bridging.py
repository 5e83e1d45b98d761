"""network/bridge on a host of the test's own, with containers that are namespaces and nothing more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from moby_components.network.bridge.component import BridgeNetwork
from moby_py.model import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox
from moby_py.testing.contracts.component import with_defaults
from moby_py.testing.room import make_context
from support.worlds import World, command

T = TypeVar("T")


def component(root: Path, **options: Any) -> BridgeNetwork:
    """The component as a daemon makes it; a second one on the same root is its next life."""
    return BridgeNetwork(make_context(BridgeNetwork, root, options=with_defaults(BridgeNetwork, options)))


def network(number: int = 9, *, ipv6: bool = True, internal: bool = False, **options: str) -> NetworkRecord:
    """10.NUMBER.0.0/16 and fd00:NUMBER::/64; options without their "com.docker.network." and with __
    for a point."""
    config = [{"Subnet": f"10.{number}.0.0/16", "Gateway": f"10.{number}.0.1"}]
    if ipv6:
        config.append({"Subnet": f"fd00:{number}::/64", "Gateway": f"fd00:{number}::1"})
    return NetworkRecord(
        id=f"{number:x}" * 16,
        name=f"net{number}",
        driver="bridge",
        sandbox="private",
        addressing="engine",
        names="engine",
        internal=internal,
        ipv6=ipv6,
        ipam={"Driver": "default", "Config": config},
        options={"com.docker.network." + key.replace("__", "."): value for key, value in options.items()},
    )


def request(
    world: World, of: NetworkRecord, number: int, *ports: PortBinding, name: str = "", **changes: Any
) -> AttachRequest:
    """Container `name` ("cNUMBER") joins `of` with the addresses that end in `number`; its namespace
    is made where it is not there."""
    name = name or f"c{number}"
    path = world.path(name)
    if not path.exists():
        world.make(name)
    config = of.ipam["Config"]
    base4, base6 = config[0]["Gateway"][:-1], config[1]["Gateway"][:-1] if of.ipv6 else ""
    fields: dict[str, Any] = {
        "container_id": f"id-{name}",
        "container_name": name,
        "network": of,
        "sandbox": Sandbox(mode="private", path=str(path)),
        "endpoint_id": f"e{number}",
        "ports": ports,
        "ipv4": f"{base4}{number}/16",
        "ipv6": f"{base6}{number:x}/64" if of.ipv6 else "",
        "gateway4": "" if of.internal else config[0]["Gateway"],
        "gateway6": "" if of.internal or not of.ipv6 else config[1]["Gateway"],
        "mac": f"02:42:{of.id[:2]}:00:00:{number:02x}",
    }
    return AttachRequest(**{**fields, **changes})


def port(inside: int, outside: int = 0, protocol: str = "tcp", host_ip: str = "") -> PortBinding:
    return PortBinding(container_port=inside, host_port=outside, protocol=protocol, host_ip=host_ip)


@contextlib.asynccontextmanager
async def opened(root: Path, *records: NetworkRecord, **options: Any) -> AsyncIterator[BridgeNetwork]:
    """The component as after a start of the daemon with these networks; closed as after a crash."""
    made = component(root, **options)
    await made.open()
    for record in records:
        await made.create(record)
    await made.recover([])
    try:
        yield made
    finally:
        await made.close()


def endpoint(asked: AttachRequest, got: Attachment) -> Endpoint:
    return Endpoint(request=asked, attachment=got)


async def off(work: Callable[..., T], *args: Any, **named: Any) -> T:
    """Blocking work of a test, beside the event loop."""
    return await asyncio.to_thread(work, *args, **named)


async def reaches(world: World, who: str, address: str, number: int, *, udp: bool = False) -> bool:
    """Whether a client in namespace `who` gets an answer, on a machine that has much to do."""
    return await off(_answered, world, who, address, number, udp=udp, times=6)


async def cut_off(world: World, who: str, address: str, number: int, *, udp: bool = False) -> bool:
    """Whether it gets none; say before that the server answers others."""
    return not await off(_answered, world, who, address, number, udp=udp, times=1)


def _answered(world: World, who: str, address: str, number: int, *, udp: bool, times: int) -> bool:
    for _ in range(times):
        try:
            return bool(world.ask(who, address, number, udp=udp, timeout=0.5))
        except TimeoutError:
            continue
        except OSError:
            return False
    return False


def ours(world: World) -> list[str]:
    """What of us is on the host: interfaces and tables."""

    def look() -> list[str]:
        links = [line.split()[0].partition("@")[0] for line in command("ip", "-br", "link").splitlines()]
        found = [name for name in links if name.startswith(("mb", "mv"))]
        tables = command("nft", "list", "tables").splitlines()
        return found + [line for line in tables if "moby-py" in line]

    return world.inside("host", look)


def settled(world: World, timeout: float = 3.0) -> list[str]:
    """`ours`, once it no longer changes to the better."""
    end = time.monotonic() + timeout
    while ours(world) and time.monotonic() < end:
        time.sleep(0.05)
    return ours(world)
