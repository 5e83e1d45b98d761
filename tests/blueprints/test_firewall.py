"""The host's own firewall stays in force, with the real commands on a whole platform (issue 2, line 2).

What the administrator's nftables or iptables say about forwarded and incoming packets holds for
containers, too; our rules are one table per family, which goes without a trace; and a real dockerd
beside us works on, whoever comes first. (ufw and firewalld are front ends of the same tables; they are
not installed where these tests run.)
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.dockerd import Dockerd, dockerd
from support.lab import HOST4, HOST6, REMOTE4, Lab, lab
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]
IMAGE = "tools"
HOLD = "trap : TERM; busybox sleep 600 & wait"
SERVE = f"busybox mkdir -p /w; echo web > /w/index.html; busybox httpd -p 80 -h /w; {HOLD}"
DROP = "table inet filter { chain forward { type filter hook forward priority filter; policy drop; }; }"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text("remote\n")
    return folder


@contextlib.contextmanager
def host(pages: Path) -> Iterator[Lab]:
    """With a remote machine that serves a page at port 7777."""
    with lab() as made:
        # Where a dockerd has loaded br_netfilter, frames within a bridge count as forwarded.
        for name in ("iptables", "ip6tables"):
            made.sh("sysctl", "-q", "-w", f"net.bridge.bridge-nf-call-{name}=0", check=False)
        serve = ("busybox", "httpd", "-f", "-p", "7777", "-h", str(pages))
        served = subprocess.Popen(["nsenter", f"--net=/run/netns/{made.remote}", *serve])
        try:
            yield made
        finally:
            served.kill()
            served.wait()


@pytest.fixture
def here(pages: Path) -> Iterator[Lab]:
    with host(pages) as made:
        yield made


def started(moby: TestPlatform) -> None:
    """`web` on network `app` with the bridge "app0", published at 8080; `client` beside it."""
    moby("image", "from-host", "-t", IMAGE, "sh", "busybox", "curl")
    moby("network", "create", "--ipv6", "-o", "com.docker.network.bridge.name=app0", "app")
    run = ("run", "-d", "--network", "app", "--name")
    moby(*run, "web", "-p", "8080:80", IMAGE, "sh", "-c", SERVE)
    moby(*run, "client", IMAGE, "sh", "-c", HOLD)


def gets(here: Lab, address: str = HOST4, port: int = 8080, at: str = "remote", timeout: float = 5) -> bytes:
    try:
        return here.get(address, port, at=at, timeout=timeout)
    except OSError as error:
        return f"{type(error).__name__}".encode()


def comes_in(here: Lab, timeout: float = 5) -> bool:
    return gets(here, timeout=timeout) == b"web\n"


def gets_out(moby: TestPlatform, timeout: float = 5) -> bool:
    url = f"http://{REMOTE4}:7777/"
    return moby("exec", "client", "curl", "-sS", "-m", str(timeout), url, check=False).stdout == "remote\n"


def neighbours(moby: TestPlatform) -> bool:
    return moby("exec", "client", "curl", "-sS", "-m", "5", "http://web/", check=False).stdout == "web\n"


def soon(what: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def everything(here: Lab, but: str = "") -> tuple[str, ...]:
    """All rules of the host: nftables with iptables-nft's among them, and both legacy families; without
    the tables of the platform `but`."""
    legacy = (here.sh(f"{program}-legacy-save") for program in ("iptables", "ip6tables"))
    saved = ("\n".join(x.partition(" [")[0] for x in text.splitlines() if x[:1] != "#") for text in legacy)
    kept, ours = [], False
    for line in here.sh("nft", "list", "ruleset").splitlines(keepends=True):
        if line.startswith("table"):
            ours = bool(but) and f" moby-py-{but} " in line
        if not ours:
            kept.append(line)
    return "".join(kept), *saved


@pytest.fixture(scope="module")
def moby(pages: Path) -> Iterator[TestPlatform]:
    """The default: host_firewall is respect. Each test puts the host's rules back."""
    with host(pages) as made, platform("bridge.yaml", user=made.prefix) as running:
        made.sh("iptables-legacy", "-S")  # from now on it is asked, too
        started(running)
        before = everything(made, running.name)
        yield running
        assert everything(made, running.name) == before
        running("rm", "-f", "web", "client")
        running.down()
        assert made.leftovers() == []


@pytest.fixture
def of_moby(moby: TestPlatform) -> Lab:
    """The host on which `moby` runs."""
    name = moby.user[-1].removeprefix("--net=/run/netns/")
    return Lab(name, name.removesuffix("host") + "far")


def test_nftables_that_drop_what_is_forwarded(moby: TestPlatform, of_moby: Lab) -> None:
    here, rule = of_moby, "add rule inet filter forward"
    assert comes_in(here)
    assert gets_out(moby)
    here.sh("nft", DROP)
    try:
        assert not comes_in(here, 1)
        assert gets(here, HOST6, timeout=1) == b"TimeoutError"
        assert not gets_out(moby, 1)
        assert neighbours(moby), "what stays within a bridge is not forwarded"
        assert gets(here, "127.0.0.1", at="host") == b"web\n"
        here.sh("nft", f"{rule} iifname app0 accept; {rule} ct state established,related accept")
        assert gets_out(moby)
        assert not comes_in(here, 1)
        here.sh("nft", f"{rule} oifname app0 ct status dnat accept")
        assert comes_in(here)
        assert gets(here, HOST6) == b"web\n"
        here.sh("nft", "flush chain inet filter forward")
        assert not comes_in(here, 1)
        assert not gets_out(moby, 1)
    finally:
        here.sh("nft", "delete table inet filter")
    assert comes_in(here)


@pytest.mark.parametrize("program", ["iptables-nft", "iptables-legacy"])
def test_iptables_that_drop_what_is_forwarded(moby: TestPlatform, of_moby: Lab, program: str) -> None:
    here = of_moby
    here.sh(program, "-P", "FORWARD", "DROP")
    try:
        assert not comes_in(here, 1)
        assert not gets_out(moby, 1)
        for direction in ("-i", "-o"):
            here.sh(program, "-A", "FORWARD", direction, "app0", "-j", "ACCEPT")
        assert comes_in(here)
        assert gets_out(moby)
    finally:
        here.sh(program, "-F", "FORWARD")
        here.sh(program, "-P", "FORWARD", "ACCEPT")
    if program == "iptables-nft":
        log = (moby.state / "daemon.log").read_text()
        assert log.count("the host's iptables drop what is forwarded - containers reach other hosts") == 1
        here.sh("nft", "delete table ip filter")


def test_bypass_is_dockers_way(here: Lab) -> None:
    """Past the FORWARD chain of both kinds of iptables; an nftables table of the host's own stays in
    force also then, as beside Docker: an accept of one table ends no other's chain."""
    for program in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"):
        here.sh(program, "-P", "FORWARD", "DROP")
    before = everything(here)
    sets = ["components.network={use: bridge, with: {host_firewall: bypass}}"]
    with platform("bridge.yaml", sets=sets, user=here.prefix) as moby:
        started(moby)
        assert comes_in(here)
        assert gets(here, HOST6) == b"web\n"
        assert gets_out(moby)
        here.sh("nft", DROP)
        assert not comes_in(here, 1)
        assert not gets_out(moby, 1)
        here.sh("nft", "delete table inet filter")
        moby("rm", "-f", "web", "client")
        moby.down()
        assert everything(here) == before


def test_a_host_that_lets_nothing_in(moby: TestPlatform, of_moby: Lab) -> None:
    """Published ports are forwarded, not let in: the input chain is about the host's own services."""
    here = of_moby
    chain = "type filter hook input priority filter; policy drop; iif lo accept; ct state established accept"
    here.sh("nft", f"table inet filter {{ chain input {{ {chain}; meta l4proto ipv6-icmp accept; }}; }}")
    own = subprocess.Popen(
        [*here.prefix, "busybox", "nc", "-ll", "-p", "9999", "-e", "busybox", "echo", "own"]
    )
    try:
        assert soon(lambda: gets(here, "127.0.0.1", 9999, at="host") != b"ConnectionRefusedError")
        assert gets(here, port=9999, timeout=1) == b"TimeoutError"
        assert comes_in(here)
        assert gets(here, HOST6) == b"web\n"
        assert gets_out(moby)
        assert neighbours(moby), "names too: the resolver is inside"
        shared = moby("exec", "client", "curl", "-sS", "-m", "5", f"http://{HOST4}:8080/").stdout
        assert shared == "web\n"
    finally:
        own.kill()
        own.wait()
        here.sh("nft", "delete table inet filter")


def test_our_rules_come_and_go_as_one_table(here: Lab) -> None:
    here.sh("nft", "table ip mine { chain x { type filter hook forward priority 5; tcp dport 25 drop; }; }")
    here.sh("nft", "table inet zz-last { set s { type ipv4_addr; elements = { 198.51.100.7 }; }; }")
    here.sh("iptables-nft", "-A", "INPUT", "-s", "198.51.100.0/24", "-j", "DROP")
    here.sh("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "81", "-j", "REDIRECT")
    here.sh("iptables-legacy", "-A", "FORWARD", "-s", "203.0.113.0/24", "-j", "DROP")
    before = everything(here)
    with platform("bridge.yaml", user=here.prefix) as moby:
        ours = {f"table inet moby-py-{moby.name}", f"table bridge moby-py-{moby.name}"}

        def tables() -> set[str]:
            return set(here.sh("nft", "list", "tables").splitlines())

        theirs = tables() - ours
        started(moby)
        assert tables() - theirs == ours
        assert everything(here, moby.name) == before
        moby.down()  # containers end with their platform
        assert everything(here) == before
        moby.up()
        moby("start", "web", "client")
        assert comes_in(here)
        moby.kill_daemon()
        assert comes_in(here), "rules stay in force without a daemon"
        assert everything(here, moby.name) == before
        moby.up()
        assert tables() - theirs == ours
        assert comes_in(here)
        moby.kill_daemon()
        moby.up()
        moby.down()
        assert everything(here) == before


def test_a_firewall_that_is_loaded_anew(moby: TestPlatform, of_moby: Lab, tmp_path: Path) -> None:
    """As `systemctl restart nftables` does, and an administrator in a hurry."""
    here, script = of_moby, tmp_path / "nftables.conf"
    rule = "add rule inet filter forward ct"
    script.write_text(f"flush ruleset\n{DROP}\n{rule} status dnat accept\n{rule} state established accept\n")

    def healed() -> bool:
        return all(
            here.sh("nft", "list", "table", family, f"moby-py-{moby.name}", check=False)
            for family in ("inet", "bridge")
        )

    for _ in range(2):
        here.sh("nft", "flush", "ruleset")
        assert soon(healed)
        assert comes_in(here)
        assert gets_out(moby)
        assert gets(here, HOST6) == b"web\n"
        assert neighbours(moby)
    here.sh("nft", "-f", str(script))
    try:
        assert soon(healed)
        assert comes_in(here)
        assert not gets_out(moby, 1), "and theirs is in force again"
        moby("run", "-d", "--name", "later", "--network", "app", "-p", "8081:80", IMAGE, "sh", "-c", SERVE)
        assert gets(here, port=8081) == b"web\n"
    finally:
        moby("rm", "-f", "later", check=False)
        here.sh("nft", "delete table inet filter")


# -- beside a real dockerd -------------------------------------------------------------------------


@pytest.fixture
def docker(here: Lab) -> Iterator[Dockerd]:
    with dockerd(here) as made:
        yield made


def both_serve(here: Lab, moby: TestPlatform, docker: Dockerd) -> None:
    assert soon(lambda: comes_in(here, 1)), "ours from afar"
    assert gets_out(moby)
    assert neighbours(moby)
    assert soon(lambda: gets(here, port=9090, timeout=1) == b"theirs\n"), "theirs from afar"
    assert docker.get("theirs", REMOTE4, 7777) == "remote\n"
    # Each reaches what the other publishes.
    assert docker.get("theirs", HOST4, 8080) == "web\n"
    shared = moby("exec", "client", "curl", "-sS", "-m", "5", f"http://{HOST4}:9090/", check=False)
    assert shared.stdout == "theirs\n"


def test_a_dockerd_before_us_stopped_and_started_again(here: Lab, docker: Dockerd) -> None:
    here.sh("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")  # then a dockerd sets the policy to drop
    docker.start()
    docker.web("theirs", 9090)
    before = here.rules()
    assert "policy drop" in before
    with platform("bridge.yaml", user=here.prefix) as moby:
        started(moby)
        both_serve(here, moby, docker)
        bridge = here.sh("ip", "-o", "-4", "address", "show", "dev", "docker0")
        taken = moby("network", "create", "-o", "com.docker.network.bridge.name=docker0", "bad", check=False)
        assert taken.stderr == (
            "error: the bridge docker0 is somebody else's - it has the address 172.30.0.1/24\n"
            "hint: to use it as it is: --subnet 172.30.0.0/24 --gateway 172.30.0.1\n"
        )
        assert here.sh("ip", "-o", "-4", "address", "show", "dev", "docker0") == bridge
        docker.stop()
        assert soon(lambda: comes_in(here, 1)), "its policy stays, and so does our way past it"
        assert gets_out(moby)
        docker.start()
        docker("start", "theirs")
        both_serve(here, moby, docker)
        moby("rm", "-f", "web", "client")
        moby.down()
    assert "MOBY" not in here.rules()
    assert "moby-py" not in here.rules()
    assert gets(here, port=9090) == b"theirs\n"
    assert docker.get("theirs", REMOTE4, 7777) == "remote\n"


def test_a_dockerd_after_us(here: Lab, docker: Dockerd) -> None:
    with platform("bridge.yaml", user=here.prefix) as moby:
        started(moby)
        docker.start()
        docker.web("theirs", 9090)
        both_serve(here, moby, docker)
        here.sh("iptables", "-P", "FORWARD", "DROP")  # as other versions of it do
        both_serve(here, moby, docker)
        moby.kill_daemon()
        assert comes_in(here), "without a daemon"
        assert gets(here, port=9090) == b"theirs\n"
        moby.up()
        both_serve(here, moby, docker)
        moby("rm", "-f", "web", "client")
        moby.down()
    assert "MOBY" not in here.rules()
    assert gets(here, port=9090) == b"theirs\n"
