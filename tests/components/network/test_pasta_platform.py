"""network/pasta in whole platforms: of root, of an ordinary user, with either uplink.

Each platform runs in a host of its own (support/lab.py) beside a remote machine. `/dev/net/tun` has the
mode that udev gives it everywhere (0666) while an ordinary user needs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.lab import HOST4, REMOTE4, REMOTE6, Lab, lab
from support.platform import TestPlatform, platform, processes

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
UID = 54321
USER = ("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups", "--no-new-privs")
TUN = Path("/dev/net/tun")
IMAGE = "tools"
WEB = "busybox mkdir -p /w; echo hello > /w/index.html; exec busybox httpd -f -p 80 -h /w"
# busybox has no UDP server that answers, so perl (which every Debian has) is one.
UDP = (
    """exec perl -e 'socket(S,10,2,17)||die; bind(S,pack("SnNa16L",10,9000,0,"",0))||die; """
    """send(S,$d,0,$p) while defined($p=recv(S,$d,65536,0))'"""
)


@dataclass
class Row:
    moby: TestPlatform
    lab: Lab
    uplink: str
    ordinary: bool

    def port(self, name: str, inside: str) -> int:
        ports = json.loads(self.moby("inspect", name).stdout)[0]["NetworkSettings"]["Ports"]
        numbers = {int(binding["HostPort"]) for binding in ports[inside]}
        assert len(numbers) == 1
        return numbers.pop()

    def pids(self, word: str) -> list[int]:
        """Processes of this platform whose command line has `word`, and which are no shell's."""
        base = str(self.moby.base)
        return [pid for pid, line in processes(base) if word in line and "setpriv" not in line]

    def service(self, word: str) -> int:
        found = self.pids(word)
        assert len(found) == 1, found
        return found[0]

    def curl(self, name: str, url: str, *more: str) -> str:
        done = self.moby("exec", name, "curl", "-sS", "-g", "-m", "5", *more, url, check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["root pasta", "ordinary pasta", "ordinary slirp4netns"])
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    who, uplink = request.param.split()
    mode = TUN.stat().st_mode & 0o777
    try:
        TUN.chmod(0o666)
        with lab() as here:
            ordinary = who == "ordinary"
            user = (*here.prefix, *(USER if ordinary else ()))
            sets = [f"components.network.with.uplink={uplink}"]
            with platform(
                "rootless.yaml", sets=sets, user=user, uid=UID if ordinary else 0, env={"USER": "nobody"}
            ) as moby:
                moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "curl", "perl")
                moby("network", "create", "--ipv6", "app")
                made = Row(moby, here, uplink, ordinary)
                run = ("run", "-d", "--network", "app")
                moby(*run, "--name", "web", "-p", "80", IMAGE, "sh", "-c", WEB)
                moby(*run, "--name", "echo", "-p", "9000/udp", IMAGE, "sh", "-c", UDP)
                moby(*run, "--name", "peer", IMAGE, "busybox", "sleep", "600")
                yield made
            run_dir = moby.run_dir / "network" / "pasta"
            assert not run_dir.exists() or list(run_dir.iterdir()) == []
            assert here.leftovers() == []
    finally:
        TUN.chmod(mode)


@contextlib.contextmanager
def serving(row: Row, address: str, handle: Callable[[socket.socket], None], at: str) -> Iterator[int]:
    """A TCP server in the lab; gives its port."""

    def listen() -> socket.socket:
        return socket.create_server(
            (address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET, backlog=64
        )

    listener: socket.socket = row.lab.inside(listen, at)

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                handle(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def http(body: bytes) -> Callable[[socket.socket], None]:
    def handle(sock: socket.socket) -> None:
        while b"\r\n\r\n" not in sock.recv(65536):
            pass
        sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    return handle


def until(check: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def gone(pid: int) -> None:
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)


def test_neighbours_meet_and_strangers_do_not(row: Row) -> None:
    assert row.curl("peer", "http://web/") == "hello\n"
    assert row.curl("web", "http://web/") == "hello\n"
    address = json.loads(row.moby("inspect", "web").stdout)[0]["NetworkSettings"]["Networks"]["app"][
        "IPAddress"
    ]
    row.moby("run", "-d", "--name", "stranger", IMAGE, "busybox", "sleep", "60")
    try:
        assert "timed out" in row.curl("stranger", f"http://{address}/", "-m", "1")
    finally:
        row.moby("rm", "-f", "stranger")


@pytest.mark.parametrize("address", [REMOTE4, REMOTE6])
def test_the_outside_is_reached(row: Row, address: str) -> None:
    content = os.urandom(8 << 20)
    host = f"[{address}]" if ":" in address else address
    with serving(row, address, http(content), "remote") as port:
        # slirp4netns announces its IPv6 route: that takes a moment after it began.
        until(lambda: "curl: " not in row.curl("peer", f"http://{host}:{port}/", "-o", "/dev/null"))
        done = row.moby(
            "exec", "peer", "sh", "-c", f"curl -sS -g -m 20 http://{host}:{port}/ | busybox sha256sum"
        )
    assert done.stdout.split()[0] == hashlib.sha256(content).hexdigest()


def test_the_outside_is_reached_by_udp(row: Row) -> None:
    def bind() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((REMOTE4, 0))
        return sock

    with row.lab.inside(bind, "remote") as server:
        port = server.getsockname()[1]
        ask = (
            f'socket(S,2,2,17); send(S,"ping",0,pack("SnC4x8",2,{port},{REMOTE4.replace(".", ",")})); '
            "alarm 5; recv(S,$d,99,0); print $d"
        )
        answering = threading.Thread(target=lambda: server.sendto(b"pong", server.recvfrom(99)[1]))
        answering.start()
        assert row.moby("exec", "peer", "perl", "-e", ask).stdout == "pong"
        answering.join(5)


def test_the_hosts_own_address_is_reached_and_its_loopback_is_not(row: Row) -> None:
    with serving(row, HOST4, http(b"host"), "host") as port:
        assert row.curl("peer", f"http://{HOST4}:{port}/") == "host"
    with serving(row, "127.0.0.1", http(b"secret"), "host") as port:
        for address in ("10.0.2.2", "10.0.2.100", "127.0.0.1", HOST4):
            said = row.curl("peer", f"http://{address}:{port}/", "-m", "1")
            assert "secret" not in said
            assert said.startswith("curl: ")


@pytest.mark.parametrize(
    ("address", "at"), [("127.0.0.1", "host"), ("::1", "host"), (HOST4, "host"), (HOST4, "remote")]
)
def test_published_ports(row: Row, address: str, at: str) -> None:
    assert row.lab.get(address, row.port("web", "80/tcp"), at=at) == b"hello\n"
    assert row.lab.ask(address, row.port("echo", "9000/udp"), b"ping", at=at) == b"ping"


def test_published_ports_from_inside(row: Row) -> None:
    assert row.curl("peer", f"http://{HOST4}:{row.port('web', '80/tcp')}/") == "hello\n"


def test_one_address_only(row: Row) -> None:
    row.moby("run", "-d", "--name", "one", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", WEB)
    try:
        shown = json.loads(row.moby("inspect", "one").stdout)[0]["NetworkSettings"]["Ports"]["80/tcp"]
        assert [binding["HostIp"] for binding in shown] == ["127.0.0.1"]
        port = int(shown[0]["HostPort"])
        until(lambda: reaches(row, "127.0.0.1", port))
        assert not reaches(row, HOST4, port)
    finally:
        row.moby("rm", "-f", "one")
    assert not reaches(row, "127.0.0.1", port)


def reaches(row: Row, address: str, port: int) -> bool:
    try:
        return bool(row.lab.get(address, port, timeout=2) == b"hello\n")
    except OSError:
        return False


def test_a_port_that_is_taken(row: Row) -> None:
    port = row.port("web", "80/tcp")
    done = row.moby("run", "--name", "late", "-p", f"{port}:80", IMAGE, "true", check=False)
    row.moby("rm", "-f", "late", check=False)
    assert done.returncode != 0
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in done.stderr
    assert "driver failed programming external connectivity on endpoint late (" in done.stderr
    assert row.lab.get("127.0.0.1", port) == b"hello\n"


def test_a_privileged_port(row: Row) -> None:
    done = row.moby("run", "--rm", "-p", "81:80", IMAGE, "true", check=False)
    if not row.ordinary:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode != 0
    text = "cannot expose privileged port 81 - listen tcp4 0.0.0.0:81: bind: permission denied"
    assert text in done.stderr
    assert "net.ipv4.ip_unprivileged_port_start=81 (currently 1024)" in done.stderr


def test_a_killed_forwarder_is_back(row: Row) -> None:
    port, udp = row.port("web", "80/tcp"), row.port("echo", "9000/udp")
    gone(row.service("forward/process"))
    until(lambda: reaches(row, "127.0.0.1", port))
    assert row.lab.ask("127.0.0.1", udp, b"again") == b"again"
    assert row.lab.get("::1", port) == b"hello\n"


def test_a_killed_uplink_is_back(row: Row) -> None:
    with serving(row, REMOTE4, http(b"outside"), "remote") as port:
        url = f"http://{REMOTE4}:{port}/"
        assert row.curl("peer", url) == "outside"
        gone(row.service("--netns"))
        until(lambda: row.curl("peer", url, "-m", "2") == "outside", 20)
    assert row.lab.get("127.0.0.1", row.port("web", "80/tcp")) == b"hello\n"


def test_a_killed_daemon_is_not_missed(row: Row) -> None:
    web, udp = row.port("web", "80/tcp"), row.port("echo", "9000/udp")
    kept = {word: row.service(word) for word in ("forward/process", "--netns")}
    with (
        serving(row, REMOTE4, http(b"outside"), "remote") as port,
        row.lab.inside(lambda: socket.create_connection(("127.0.0.1", web), timeout=10)) as before,
    ):
        row.moby.kill_daemon()
        assert row.lab.get("127.0.0.1", web) == b"hello\n"
        assert row.lab.ask("::1", udp, b"meanwhile") == b"meanwhile"
        row.moby.up()
        assert {word: row.service(word) for word in kept} == kept
        assert row.lab.get("::1", web) == b"hello\n"
        assert row.curl("peer", f"http://{REMOTE4}:{port}/") == "outside"
        assert row.curl("peer", "http://web/") == "hello\n"
        # A connection that was open all the while was noticed by nobody.
        before.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert before.recv(4096).startswith(b"HTTP/1.")
    row.moby("run", "--rm", "--network", "app", IMAGE, "curl", "-sS", "-m", "5", "http://web/")


def test_containers_stay_connected_through_a_planned_restart(row: Row) -> None:
    web = row.port("web", "80/tcp")
    row.moby.down("--keep-containers")
    assert row.lab.get("127.0.0.1", web) == b"hello\n"
    row.moby.up()
    assert row.lab.get("127.0.0.1", web) == b"hello\n"
    assert row.curl("peer", "http://web/") == "hello\n"


def test_after_down_and_up_everything_is_made_anew(row: Row) -> None:
    row.moby.down()
    assert row.pids("forward/process") == row.pids("--netns") == []
    row.moby.up()
    row.moby("start", "web", "echo", "peer")
    until(lambda: reaches(row, "127.0.0.1", row.port("web", "80/tcp")))
    assert row.curl("peer", "http://web/") == "hello\n"


def test_a_host_that_is_offline() -> None:
    """pasta has nothing to offer without a default route and ends; containers meet all the same, and
    the way out is there when the host has one."""
    with lab() as here:
        here.sh("ip", "route", "delete", "default")
        here.sh("ip", "-6", "route", "delete", "default")
        with platform("rootless.yaml", user=here.prefix) as moby:
            moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "curl")
            moby("network", "create", "app")
            moby("run", "-d", "--name", "web", "--network", "app", "-p", "80", IMAGE, "sh", "-c", WEB)
            offline = Row(moby, here, "pasta", ordinary=False)
            until(lambda: reaches(offline, "127.0.0.1", offline.port("web", "80/tcp")))
            done = moby("run", "--rm", "--network", "app", IMAGE, "curl", "-sS", "-m", "5", "http://web/")
            assert done.stdout == "hello\n"
            assert (
                "there is no way out of the containers' networks yet"
                in (moby.state / "daemon.log").read_text()
            )
            here.sh("ip", "route", "add", "default", "via", REMOTE4)
            with serving(offline, REMOTE4, http(b"outside"), "remote") as port:
                until(lambda: offline.curl("web", f"http://{REMOTE4}:{port}/", "-m", "2") == "outside", 60)
