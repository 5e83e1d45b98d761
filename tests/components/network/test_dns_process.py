"""The process itself: killed and told everything again, adopted, small, and with little left to lose."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from moby_components.common.dns import Client, Named, Resolver
from moby_components.common.mounts import umount
from moby_components.common.netns import in_netns
from moby_py import survivors
from moby_py.errors import Unavailable
from moby_py.supervisor import Supervisor
from support.resolving import LOG, Lab, ask, awaited, lab, query, values

pytestmark = pytest.mark.root

WEB = Named("n1", "c-web", ("web",), ("10.9.0.2",))
DB = Named("n1", "c-db", ("db",), ("10.9.0.3",))
FAR = Named("n1", "c-far", ("far",), ("10.9.0.4",))


@pytest.fixture
def world() -> Iterator[Lab]:
    made = Lab()
    try:
        yield made
    finally:
        survivors.end_all(made.run)
        made.close()


def dns_pid(world: Lab) -> int:
    return next(iter(survivors.read(world.run).values())).pid


async def until_answered(box: Path, name: str, seconds: float) -> float:
    """How long it took until `name` was answered in `box`."""
    began = time.monotonic()

    def once() -> bool:
        try:
            return bool(values(ask(box, name, timeout=0.1)))
        except Exception:
            return False

    while not await in_netns("", once):
        assert time.monotonic() - began < seconds, "no answer"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@awaited
async def test_killed_it_knows_everything_again_within_a_second(
    world: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor, resolver = Supervisor(LOG, world.run), Resolver(world.run, LOG)
    service = replace(resolver.service(), argv=world.argv())
    box, gone = world.box("box"), world.box("gone")
    await supervisor.start(service, "engine/moby")
    try:
        await resolver.sync([WEB], [Client("c-box", str(box), ("n1",))])
        await resolver.serve(Client("c-gone", str(gone), ("n1",)))
        await resolver.name(DB, FAR)
        umount(gone, lazy=True)
        gone.unlink()
        # A program that keeps its socket: the kernel remembers where its questions go.
        keeper = await in_netns(box, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        keeper.connect(("127.0.0.11", 53))
        keeper.settimeout(2)
        wire = query("web").to_wire()
        keeper.send(wire)
        await asyncio.to_thread(keeper.recv, 512)

        pid = dns_pid(world)
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.001)
        # What is taken away meanwhile waits for nobody, what is added waits for its successor.
        began = time.monotonic()
        await resolver.unname("c-far", "n1")
        assert time.monotonic() - began < 0.1
        await resolver.name(Named("n1", "c-new", ("new",), ("10.9.0.9",)))
        took = await until_answered(box, "new", 5)
        assert took < 1.5
        assert values(await in_netns("", lambda: ask(box, "web"))) == ["10.9.0.2"]
        assert values(await in_netns("", lambda: ask(box, "db"))) == ["10.9.0.3"]
        assert values(await in_netns("", lambda: ask(box, "far"))) == []
        keeper.send(wire)
        assert (await asyncio.to_thread(keeper.recv, 512))[:2] == wire[:2]
        keeper.close()
        assert f"container c-gone is not served - no such file or directory: {gone}" in caplog.text
    finally:
        await resolver.close()
        await supervisor.stop()
    assert not (world.run / "dns.sock").exists()


@awaited
async def test_the_next_daemon_adopts_it_and_syncs_it(world: Lab) -> None:
    first, resolver = Supervisor(LOG, world.run), Resolver(world.run, LOG)
    service = replace(resolver.service(), argv=world.argv())
    box, other = world.box("box"), world.box("other")
    await first.start(service, "engine/moby")
    await resolver.sync([WEB, DB], [Client("c-box", str(box), ("n1",)), Client("c-o", str(other), ("n1",))])
    pid = dns_pid(world)
    # A killed daemon stops nothing; its loop is gone, that is all. (Real processes are killed in
    # tests/assembler/running.)
    await resolver.close()
    await first.stop(leave_kept=True)
    assert values(await in_netns("", lambda: ask(box, "web"))) == ["10.9.0.2"]

    second, resolver = Supervisor(LOG, world.run), Resolver(world.run, LOG)
    await second.start(service, "engine/moby")
    await second.settle()
    try:
        assert dns_pid(world) == pid
        # Before the whole truth is told, nothing is taken from those who live on.
        await resolver.name(Named("n1", "c-new", ("new",), ("10.9.0.9",)))
        assert values(await in_netns("", lambda: ask(box, "db"))) == ["10.9.0.3"]
        await resolver.sync([WEB], [Client("c-box", str(box), ("n1",))])
        assert values(await in_netns("", lambda: ask(box, "web"))) == ["10.9.0.2"]
        for name in ("db", "new"):
            assert values(await in_netns("", lambda name=name: ask(box, name))) == []
        with pytest.raises(OSError, match="refused"):
            await in_netns("", lambda: ask(other, "web", tcp=True))
        os.kill(pid, signal.SIGKILL)
        assert await until_answered(box, "web", 5) < 1.5
        assert dns_pid(world) != pid
    finally:
        await resolver.close()
        await second.stop()
    assert survivors.read(world.run) == {}


@awaited
async def test_without_a_process_the_engine_is_told(world: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moby_components.common.dns.handle.PATIENCE", 0.2)
    resolver = Resolver(world.run, LOG)
    with pytest.raises(Unavailable) as caught:
        await resolver.name(WEB)
    path = world.run / "dns.sock"
    assert str(caught.value) == f"the resolver does not answer - nothing accepts on {path}"
    await resolver.close()


def test_a_second_process_asks_the_first_to_go(world: Lab) -> None:
    world.start()
    box = world.box("box")
    world.tell(WEB, Client("c-box", str(box), ("n1",)))
    first = world.process
    assert first is not None
    world.start()
    assert first.wait(5) == 0
    world.tell(WEB, Client("c-box", str(box), ("n1",)))
    assert values(ask(box, "web")) == ["10.9.0.2"]


def test_what_it_gave_up(world: Lab) -> None:
    with lab() as made:
        box = made.box("box")
        made.tell(WEB, Client("c-box", str(box), ("n1",)))
        assert made.process is not None
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{made.process.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        kept = f"{1 << 10 | 1 << 12 | 1 << 21:016x}"
        assert [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")] == ["0" * 16, *[kept] * 3]
        assert (status["NoNewPrivs"], status["Umask"], status["Threads"]) == ("1", "0077", "1")
        limits = Path(f"/proc/{made.process.pid}/limits").read_text()
        assert [line.split()[3:5] for line in limits.splitlines() if "Max file size" in line] == [["0", "0"]]
        assert (made.run / "dns.sock").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_it_is_small_and_a_container_costs_two_descriptors(world: Lab) -> None:
    with lab() as made:
        assert made.process is not None
        boxes = [made.box(f"b{number}") for number in range(50)]
        made.tell(WEB)
        made.tell(*(Client(f"c{number}", str(box), ("n1",)) for number, box in enumerate(boxes)))
        ask(boxes[0], "web")
        fds = len(os.listdir(f"/proc/{made.process.pid}/fd"))
        assert 100 <= fds <= 115
        assert _kilobytes(made.process.pid, "VmRSS") < 16_000
        assert _kilobytes(made.process.pid, "RssAnon") < 8_000


def _kilobytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def test_it_loads_nothing_of_the_daemon() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "import moby_components.common.dns.process.main; print(*sorted(sys.modules))"
    )
    components = Path(__file__).parents[3] / "components"
    command = [sys.executable, "-I", "-S", "-c", code, str(components)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "typing", "dataclasses", "logging", "pathlib", "inspect", "moby_py"} & set(loaded)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"nonsense", "not a request"),
        (b'{"id": 1, "op": "burn"}', "no such operation: burn"),
        (b'{"id": 1, "op": "serve"}', "not a request: KeyError('client')"),
        (b"[1]", "not a request"),
        (
            b'{"id": 1, "op": "name", "named": [{"network": "n", "domain": "", "container": "c", '
            b'"names": [], "addresses": ["10.0.0.256"]}]}',
            "illegal ip address string passed to inet_pton",
        ),
    ],
)
def test_a_request_that_is_none_is_answered_so(line: bytes, error: str) -> None:
    with lab() as made, socket.socket(socket.AF_UNIX) as peer:
        path = made.run / "dns.sock"
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.05)
        peer.connect(str(path))
        peer.sendall(line + b"\n")
        peer.settimeout(5)
        assert error in json.loads(peer.recv(65536))["error"]


def test_the_log_of_a_fallback_reaches_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    """A kernel without nf_tables: the process says so, in its daemon's log, and takes port 53 itself."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from moby_components.common.dns.process import main, server;\n"
        "def redirect(*ports): raise OSError(95, 'Operation not supported')\n"
        "server.redirect = redirect; sys.exit(main.main(sys.argv[2:]))"
    )
    made = Lab()
    try:
        components = Path(__file__).parents[3] / "components"
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            code,
            str(components),
            "--socket",
            str(made.run / "dns.sock"),
        ]
        made.process = subprocess.Popen(command)
        box = made.box("box")
        with caplog.at_level(logging.WARNING):
            made.tell(WEB, Client("c-box", str(box), ("n1",)))
        assert "no nftables rule, port 53 itself is taken - operation not supported" in caplog.text
        assert values(ask(box, "web")) == ["10.9.0.2"]
        assert values(ask(box, query("web"), tcp=True)) == ["10.9.0.2"]
    finally:
        made.close()
