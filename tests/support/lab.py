"""A host of the test's own: a network namespace to run a whole platform in, and one that plays a
remote machine and the way to the rest of the world, joined by a cable.

    with lab() as here:
        with platform("bridge.yaml", user=here.prefix) as moby:
            here.get("http://192.0.2.1:8080/", at="remote")

Nothing of it touches the machine's own interfaces, rules and ports, so that such tests run side by
side; and what a platform leaves behind is whatever `here.leftovers()` still finds.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from moby_components.common.netns import run_in

T = TypeVar("T")
HOST4, REMOTE4 = "192.0.2.1", "192.0.2.2"
HOST6, REMOTE6 = "2001:db8:99::1", "2001:db8:99::2"


def sh(*argv: str, check: bool = True, netns: str = "") -> str:
    """Output of a command, in a namespace if one is named."""
    prefix = ["nsenter", f"--net=/run/netns/{netns}"] if netns else []
    done = subprocess.run([*prefix, *argv], capture_output=True, text=True, check=False, timeout=60)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass
class Lab:
    host: str
    remote: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """For `platform(user=...)`."""
        return ("nsenter", f"--net=/run/netns/{self.host}")

    def inside(self, work: Callable[[], T], at: str = "host") -> T:
        return run_in(f"/run/netns/{self.host if at == 'host' else self.remote}", work)

    def sh(self, *argv: str, at: str = "host", check: bool = True) -> str:
        return sh(*argv, netns=self.host if at == "host" else self.remote, check=check)

    def get(self, address: str, port: int, path: str = "/", at: str = "host", timeout: float = 5) -> bytes:
        """The body of an HTTP answer. Raises OSError."""

        def work() -> bytes:
            with socket.create_connection((address, port), timeout=timeout) as link:
                link.sendall(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                data = b""
                while piece := link.recv(65536):
                    data += piece
            return data.replace(b"\r\n", b"\n").partition(b"\n\n")[2]  # CGI programs end lines as they like

        return self.inside(work, at)

    def ask(self, address: str, port: int, data: bytes, at: str = "host", timeout: float = 5) -> bytes:
        """The UDP answer; asked three times, since UDP may lose one. Raises OSError."""

        def work() -> bytes:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as link:
                link.settimeout(timeout / 3)
                link.connect((address, port))
                for _ in range(2):
                    with contextlib.suppress(OSError):
                        link.send(data)
                        return link.recv(65536)
                link.send(data)
                return link.recv(65536)

        return self.inside(work, at)

    def interfaces(self) -> set[str]:
        return {link["ifname"] for link in json.loads(self.sh("ip", "-j", "link"))}

    def rules(self) -> str:
        """All nftables rules (iptables-nft's too) and the legacy ones, without counters."""
        return self.sh("nft", "-s", "list", "ruleset", check=False)

    def leftovers(self) -> list[str]:
        """What is there beside the loopback, the cable and empty built-in chains of iptables."""
        found = sorted(self.interfaces() - {"lo", "cable", "sit0", "ip6tnl0", "tunl0"})
        for line in self.rules().splitlines():
            text = line.strip()
            if text.startswith(
                ("ip ", "ip6 ", "meta ", "counter", "oif", "iif", "jump", "dnat", "masq", "elements")
            ) or (text.startswith("table") and "moby" in text):
                found.append(text)
        return found


@contextlib.contextmanager
def lab() -> Iterator[Lab]:
    word = f"{os.getpid()}{secrets.token_hex(2)}"
    made = Lab(f"lab-{word}-host", f"lab-{word}-far")
    try:
        for name in (made.host, made.remote):
            sh("ip", "netns", "add", name)
            sh("ip", "link", "set", "lo", "up", netns=name)
        far = ("peer", "name", "cable", "netns", made.remote)
        sh("ip", "link", "add", "cable", "netns", made.host, "type", "veth", *far)
        for name, four, six in ((made.host, HOST4, HOST6), (made.remote, REMOTE4, REMOTE6)):
            sh("ip", "address", "add", f"{four}/24", "dev", "cable", netns=name)
            sh("ip", "address", "add", f"{six}/64", "dev", "cable", "nodad", netns=name)
            sh("ip", "link", "set", "cable", "up", netns=name)
        sh("ip", "route", "add", "default", "via", REMOTE4, netns=made.host)
        sh("ip", "-6", "route", "add", "default", "via", REMOTE6, netns=made.host)
        yield made
    finally:
        for name in (made.host, made.remote):
            sh("ip", "netns", "delete", name, check=False)
