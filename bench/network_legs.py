"""Ways to give a network namespace a leg on a bridge: our component, CNI's plugins, netavark.

The programs are started as container runtimes start them, directly and without a shell; whoever calls
`attach` and `detach` is in the host's namespace already.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from support import bridging
from support.worlds import World

T = TypeVar("T")
CNI = Path("/usr/lib/cni")
NETAVARK = Path("/usr/lib/podman/netavark")
PORT = 18080


class Leg(ABC):
    """`world` is the host it works on, a folder of its own is below `folder`."""

    def __init__(self, world: World, folder: Path, published: bool) -> None:
        self.world, self.folder, self.published = world, folder, published

    @abstractmethod
    def attach(self, name: str, number: int) -> None:
        """Namespace `name` of the world joins with the address that ends in `number`."""

    @abstractmethod
    def detach(self, name: str, number: int) -> None: ...

    def close(self) -> None:
        """The last one turns out the light."""


class Ours(Leg):
    """network/bridge as the daemon runs it, with its event loop in a thread on that host."""

    def __init__(self, world: World, folder: Path, published: bool) -> None:
        super().__init__(world, folder, published)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=lambda: world.inside("host", self._loop.run_forever), name="bench-loop"
        )
        self._thread.start()
        self._component = self._do(self._made())
        self._network = bridging.network(9, ipv6=False)
        self._do(self._component.open())
        self._do(self._component.create(self._network))
        self._do(self._component.recover([]))
        self._held: dict[int, Any] = {}

    async def _made(self) -> Any:
        return bridging.component(self.folder)

    def attach(self, name: str, number: int) -> None:
        ports = [bridging.port(80, PORT)] if self.published else []
        asked = bridging.request(self.world, self._network, number, *ports, name=name)
        self._held[number] = asked, self._do(self._component.attach(asked))

    def detach(self, name: str, number: int) -> None:
        self._do(self._component.detach(*self._held.pop(number)))

    def close(self) -> None:
        self._do(self._component.remove(self._network))
        self._do(self._component.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        future: concurrent.futures.Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(60)


class Cni(Leg):
    """The chain that Debian's podman and many a Kubernetes node have: bridge with host-local addresses
    and NAT, portmap where ports are published. `lean`: addresses given (static) and no NAT, which is
    the least that the plugin can do."""

    def __init__(self, world: World, folder: Path, published: bool, *, lean: bool = False) -> None:
        super().__init__(world, folder, published)
        self._lean = lean
        self._results: dict[int, Any] = {}

    def attach(self, name: str, number: int) -> None:
        result = self._call("ADD", "bridge", name, number, None)
        if self.published:
            result = self._call("ADD", "portmap", name, number, result)
        self._results[number] = result

    def detach(self, name: str, number: int) -> None:
        result = self._results.pop(number)
        if self.published:
            self._call("DEL", "portmap", name, number, result)
        self._call("DEL", "bridge", name, number, result)

    def _config(self, plugin: str, number: int) -> dict[str, Any]:
        config: dict[str, Any] = {"cniVersion": "1.0.0", "name": "bench", "type": plugin}
        if plugin == "portmap":
            mapped = {"hostPort": PORT, "containerPort": 80, "protocol": "tcp"}
            return {**config, "runtimeConfig": {"portMappings": [mapped]}}
        ipam: dict[str, Any] = {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/16"}]]}
        ipam |= {"dataDir": str(self.folder), "routes": [{"dst": "0.0.0.0/0"}]}
        if self._lean:
            ipam = {
                "type": "static",
                "addresses": [{"address": f"10.9.0.{number}/16", "gateway": "10.9.0.1"}],
            }
        return {**config, "bridge": "cni-bench", "isGateway": True, "ipMasq": not self._lean, "ipam": ipam}

    def _call(self, verb: str, plugin: str, name: str, number: int, previous: Any) -> Any:
        config = self._config(plugin, number)
        if previous is not None:
            config["prevResult"] = previous
        env = {
            "CNI_COMMAND": verb,
            "CNI_PATH": str(CNI),
            "CNI_CONTAINERID": f"id-{name}",
            "CNI_IFNAME": "eth0",
        }
        env["CNI_NETNS"] = str(self.world.path(name))
        return start([str(CNI / plugin)], config, env)


class Netavark(Leg):
    """netavark as podman calls it, without aardvark-dns."""

    def attach(self, name: str, number: int) -> None:
        self._call("setup", name, number)

    def detach(self, name: str, number: int) -> None:
        self._call("teardown", name, number)

    def _call(self, verb: str, name: str, number: int) -> None:
        subnet = {"subnet": "10.9.0.0/16", "gateway": "10.9.0.1"}
        mapped = {"container_port": 80, "host_port": PORT, "host_ip": "", "protocol": "tcp", "range": 1}
        body = {
            "container_id": f"id-{name}",
            "container_name": name,
            "networks": {"bench": {"interface_name": "eth0", "static_ips": [f"10.9.0.{number}"]}},
            "network_info": {
                "bench": {
                    "id": "9" * 64,
                    "name": "bench",
                    "driver": "bridge",
                    "network_interface": "nv-bench",
                    "subnets": [subnet],
                    "ipv6_enabled": False,
                    "internal": False,
                    "dns_enabled": False,
                    "ipam_options": {"driver": "host-local"},
                }
            },
            "port_mappings": [mapped] if self.published else [],
        }
        env = {"NETAVARK_FW": "iptables"}
        argv = [str(NETAVARK), "--config", str(self.folder), "--rootless=false", verb]
        start([*argv, str(self.world.path(name))], body, env)


def start(argv: list[str], body: object, env: Mapping[str, str]) -> Any:
    """Run a program with JSON on stdin; its JSON answer or None. A failure stops the benchmark."""
    done = subprocess.run(
        argv,
        input=json.dumps(body).encode(),
        capture_output=True,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env},
        close_fds=False,  # so that Python starts it by vfork: as cheap as can be
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).decode()
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}:\n{said}")
    return json.loads(done.stdout) if done.stdout.strip() else None


@contextlib.contextmanager
def closing(leg: Leg) -> Iterator[Leg]:
    try:
        yield leg
    finally:
        leg.close()
