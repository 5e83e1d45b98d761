"""Beside the host's own firewall: it stays in force; beside a dockerd: it works on, and so do we."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.network.bridge.component import BridgeNetwork
from moby_py.model import Attachment
from support.bridging import cut_off, network, off, opened, port, reaches, request
from support.worlds import HOST, World, command, soon, world

pytestmark = pytest.mark.root
DROP = (
    "add table inet admin; add chain inet admin passing { type filter hook forward priority 0; policy drop; }"
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


async def served(it: BridgeNetwork, host: World) -> Attachment:
    got = await it.attach(request(host, network(), 2, port(80, 8080)))
    await off(host.serve, "c2", 80)
    return got


def iptables(host: World, *words: str, program: str = "iptables") -> str:
    return host.inside("host", lambda: command(program, "-w", *words))


@pytest.mark.parametrize("mode", ["respect", "bypass"])
def test_an_administrators_nftables_stay_in_force(tmp_path: Path, host: World, mode: str) -> None:
    async def story() -> None:
        await off(lambda: host.inside("host", lambda: command("nft", DROP)))
        async with opened(tmp_path, network(), host_firewall=mode) as it:
            await served(it, host)
            await off(host.serve, "remote", 80)
            assert await cut_off(host, "remote", HOST, 8080)
            assert await cut_off(host, "c2", "192.0.2.2", 80)
            assert await reaches(host, "host", "127.0.0.1", 8080)
            accept = "add rule inet admin passing tcp dport 80 accept; "
            accept += "add rule inet admin passing ct state established accept"
            await off(lambda: host.inside("host", lambda: command("nft", accept)))
            assert await reaches(host, "remote", HOST, 8080), "when the administrator says so"

    host.play(story)


def test_a_drop_policy_of_iptables_stays_in_force(
    tmp_path: Path, host: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        await off(iptables, host, "-P", "FORWARD", "DROP")
        before = await off(iptables, host, "-S")
        async with opened(tmp_path, network()) as it:
            await served(it, host)
            await off(host.serve, "remote", 80)
            assert await cut_off(host, "remote", HOST, 8080)
            assert await cut_off(host, "c2", "192.0.2.2", 80)
            assert await off(iptables, host, "-S") == before

    host.play(story)
    said = [record.message for record in caplog.records if "FORWARD" in record.message]
    assert said == [
        "the host's iptables drop what is forwarded - containers reach other hosts, and are reached, only "
        "where its FORWARD chain says so (host_firewall: bypass overrides it)"
    ]


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_bypass_is_dockers_way_and_goes_again(tmp_path: Path, host: World, program: str) -> None:
    async def story() -> None:
        await off(iptables, host, "-P", "FORWARD", "DROP", program=program)
        before = await off(iptables, host, "-S", program=program)
        async with opened(tmp_path, network(), host_firewall="bypass") as it:
            got = await served(it, host)
            await off(host.serve, "remote", 80)
            assert await reaches(host, "remote", HOST, 8080)
            assert await reaches(host, "c2", "192.0.2.2", 80)
            assert "-A FORWARD -j MOBY-PY-" in await off(iptables, host, "-S", program=program)
            await it.detach(request(host, network(), 2), got)
        assert await off(iptables, host, "-S", program=program) == before

    host.play(story)


@contextlib.contextmanager
def dockerd() -> Iterator[list[str]]:
    """A dockerd with a network of its own, in the namespace of the calling thread; the client's argv."""
    base = Path(tempfile.mkdtemp(prefix="mp-dockerd-", dir="/var/tmp"))
    socket = f"unix://{base}/docker.sock"
    argv = ["dockerd", "--host", socket, "--pidfile", f"{base}/pid", "--bip", "172.30.0.1/24"]
    argv += ["--data-root", f"{base}/data", "--exec-root", f"{base}/exec"]
    client = ["docker", "-H", socket]
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while subprocess.run([*client, "version"], capture_output=True, check=False).returncode:
            assert time.monotonic() < end, (base / "log").read_text()[-2000:]
            time.sleep(0.1)
        yield client
    finally:
        daemon.terminate()
        daemon.wait(30)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[4].startswith(str(base)):
                subprocess.run(["umount", "-l", line.split()[4]], check=False)
        shutil.rmtree(base, ignore_errors=True)


def busybox() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add("/usr/bin/busybox" if Path("/usr/bin/busybox").exists() else "/bin/busybox", "bin/busybox")
    return data.getvalue()


def start_docker_container(client: list[str]) -> str:
    """A container of dockerd's that says "docker" on published port 9090 and on its own 81; its address."""
    subprocess.run([*client, "import", "-", "bb:1"], input=busybox(), check=True, capture_output=True)
    script = "for p in 80 81; do /bin/busybox nc -ll -p $p -e /bin/busybox echo docker & done; wait"
    run = ("run", "-d", "--name", "theirs", "-p", "9090:80", "bb:1", "/bin/busybox", "sh", "-c", script)
    command(*client, *run)
    return command(*client, "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "theirs").strip()


def docker_reaches(client: list[str], address: str, number: int) -> bool:
    words = ["exec", "theirs", "/bin/busybox", "nc", "-w", "1", address, str(number)]
    done = subprocess.run([*client, *words], capture_output=True, input=b"", check=False, timeout=20)
    return b"hello" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("first", ["dockerd", "we"])
def test_a_dockerd_beside_us(tmp_path: Path, host: World, first: str) -> None:
    async def story() -> None:
        async with contextlib.AsyncExitStack() as stack:

            async def docker() -> tuple[list[str], str]:
                # In this thread, which is on the host: a process begins where its maker is.
                client = stack.enter_context(dockerd())
                return client, start_docker_container(client)

            if first == "dockerd":
                # Where a dockerd turns forwarding on, it sets the policy to drop.
                Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
                client, theirs = await docker()
            async with opened(tmp_path, network(), network(8)) as it:
                got = await served(it, host)
                await it.attach(request(host, network(8), 3))
                await off(host.serve, "remote", 80)
                if first == "we":
                    client, theirs = await docker()
                    assert await reaches(host, "remote", HOST, 8080)
                    await off(iptables, host, "-P", "FORWARD", "DROP")  # as other versions do
                assert "-P FORWARD DROP" in await off(iptables, host, "-S")
                await soon(lambda: "-A DOCKER-USER -j MOBY-PY-" in iptables(host, "-S", "DOCKER-USER"))
                # We work on, and so do they.
                assert await reaches(host, "remote", HOST, 8080)
                assert await reaches(host, "c2", "192.0.2.2", 80)
                assert await reaches(host, "remote", HOST, 9090)
                # Each reaches what the other publishes, and no more.
                assert await reaches(host, "c2", HOST, 9090)
                assert await off(docker_reaches, client, HOST, 8080)
                assert await reaches(host, "host", theirs, 81)
                assert await cut_off(host, "c2", theirs, 81)
                assert await reaches(host, "host", "10.9.0.2", 80)
                assert not await off(docker_reaches, client, "10.9.0.2", 80)
                assert await cut_off(host, "c3", "10.9.0.2", 80), "and ours stay apart"
                await it.detach(request(host, network(), 2), got)
                await it.detach(request(host, network(8), 3), None)
            rules = await off(iptables, host, "-S")
            assert "MOBY-PY" not in rules
            assert "DOCKER-USER" in rules
            assert await reaches(host, "remote", HOST, 9090)
            command(*client, "rm", "-f", "theirs")

    host.play(story)


def test_forwarding_is_turned_on_and_said(
    tmp_path: Path, host: World, caplog: pytest.LogCaptureFixture
) -> None:
    def setting(name: str) -> str:
        return Path(f"/proc/sys/net/{name}").read_text().strip()

    async def story() -> None:
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            Path(f"/proc/sys/net/{name}").write_text("0")
        Path("/proc/sys/net/ipv6/conf/uplink/accept_ra").write_text("1")
        caplog.set_level("INFO")
        async with opened(tmp_path, network()):
            assert setting("ipv4/ip_forward") == setting("ipv6/conf/all/forwarding") == "1"
            assert setting("ipv6/conf/uplink/accept_ra") == "2", "its own routes go on being announced"

    host.play(story)
    said = [record.message for record in caplog.records if "turned on" in record.message]
    assert said == [
        "turned on net.ipv4.ip_forward, which containers need to reach other hosts",
        "turned on net.ipv6.conf.all.forwarding, which containers need to reach other hosts",
    ]
