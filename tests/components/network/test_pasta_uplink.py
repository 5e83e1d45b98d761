"""network/pasta: which program links the world to the host, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.common.netns import run_in
from moby_components.network.pasta import uplink
from moby_components.network.pasta.world import PinnedWorld, has_default_route
from moby_py import probes
from moby_py.component import Service
from moby_py.needs import Binary
from support.lab import lab

NOBODY = 54321


def arguments(name: str, **options: bool) -> tuple[str, ...]:
    return uplink.arguments(name, Path("/run/w"), "10.9.0.0/16", **({"root": False} | options))


def test_pasta_forwards_nothing_on_its_own_and_maps_nothing_to_the_host() -> None:
    argv = arguments("pasta")
    pairs = set(itertools.pairwise(argv))
    assert "--no-map-gw" in argv
    for option in ("--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"):
        assert (option, "none") in pairs
    assert {("--address", "10.9.0.100"), ("--netmask", "255.255.0.0"), ("--gateway", "10.9.0.2")} <= pairs
    assert "--runas" not in argv
    assert arguments("pasta", root=True)[-2:] == ("--runas", "0")


def test_slirp4netns_is_sandboxed_and_keeps_off_the_hosts_loopback() -> None:
    argv = arguments("slirp4netns")
    assert {"--disable-host-loopback", "--enable-sandbox", "--enable-seccomp", "--cidr=10.9.0.0/16"} <= set(
        argv
    )
    assert argv[-2:] == ("/run/w", "uplink0")


@pytest.mark.parametrize(
    ("option", "there", "chosen", "package"),
    [
        ("auto", ("pasta", "slirp4netns"), "pasta", "passt"),
        ("auto", ("slirp4netns",), "slirp4netns", "slirp4netns"),
        ("auto", (), "pasta", "passt"),
        ("pasta", ("slirp4netns",), "pasta", "passt"),
        ("slirp4netns", ("pasta",), "slirp4netns", "slirp4netns"),
    ],
)
def test_the_program_is_chosen_by_what_is_there(
    option: str,
    there: tuple[str, ...],
    chosen: str,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(uplink, "SEARCH", "/nonexistent")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert uplink.program({"uplink": option}) == Binary(chosen, package=package)


@pytest.mark.root
def test_a_closed_tun_device_is_told_with_the_way_out() -> None:
    tun = Path("/dev/net/tun")
    mode = tun.stat().st_mode & 0o777
    tun.chmod(0o600)
    os.seteuid(NOBODY)
    try:
        found = probes.tun()
    finally:
        os.seteuid(0)
        tun.chmod(mode)
    assert (found.ok, found.what, found.hint) == (
        False,
        f"/dev/net/tun may not be opened by user {NOBODY} - its mode is 0600, usual is 0666",
        "sudo chmod 0666 /dev/net/tun",
    )
    assert probes.tun().what == "tunnel interfaces can be made (/dev/net/tun)"


@pytest.mark.root
def test_an_ordinary_user_may_make_networks_of_his_own() -> None:
    assert probes.private_networks().ok
    code = "from moby_py import probes; print(probes.private_networks())"
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--no-new-privs"]
    done = subprocess.run([*user, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip() == repr(
        probes.Probe(True, "bridges, veth pairs and nftables rules can be made in a user namespace")
    )


@contextlib.contextmanager
def running(service: Service, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([*prefix, *service.argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@contextlib.contextmanager
def a_world(folder: Path) -> Iterator[PinnedWorld]:
    made = PinnedWorld(folder / "world", folder / "uplink.pid")
    assert made.pin()
    try:
        asyncio.run(made.furnish())
        yield made
    finally:
        made.end_uplink()
        made.unpin()


def service(world: PinnedWorld, name: str) -> Service:
    argv = (f"/usr/bin/{name}", *uplink.arguments(name, world.path, "10.0.2.0/24", root=True))
    return uplink.service(argv, world.path, world.record)


@pytest.mark.root
@pytest.mark.parametrize("name", ["pasta", "slirp4netns"])
def test_it_begins_before_its_world_does(name: str, tmp_path: Path) -> None:
    made = PinnedWorld(tmp_path / "world", tmp_path / "uplink.pid")
    with lab() as here, running(service(made, name), *here.prefix), a_world(tmp_path) as world:
        asyncio.run(asyncio.wait_for(world.linked(), 10))
        assert run_in(world.path, has_default_route)
        assert int(world.record.read_text()) > 0


@pytest.mark.root
def test_without_a_world_it_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moby_components.network.pasta import launch

    monkeypatch.setattr(launch, "PATIENCE", 0.1)
    (tmp_path / "world").touch()  # a file is no namespace
    with pytest.raises(SystemExit) as caught:
        launch.main(str(tmp_path / "world"), str(tmp_path / "pid"), ["/bin/true"])
    assert caught.value.code == f"there is no network namespace at {tmp_path}/world"
    assert not (tmp_path / "pid").exists()


@pytest.mark.root
def test_the_uplink_of_a_lost_world_is_ended_and_nobody_else(tmp_path: Path) -> None:
    with lab() as here, a_world(tmp_path) as world:
        with running(service(world, "slirp4netns"), *here.prefix) as process:
            asyncio.run(asyncio.wait_for(world.linked(), 10))
            assert not world.pin()
            assert process.poll() is None
            subprocess.run(["umount", "-l", str(world.path)], check=True)
            assert world.pin()
            assert process.wait(10) == -signal.SIGKILL
        with subprocess.Popen(["sleep", "60"]) as other:
            world.record.write_text(f"{other.pid}\n")
            world.end_uplink()
            time.sleep(0.1)
            assert other.poll() is None
            other.kill()


@pytest.mark.root
@pytest.mark.parametrize("name", ["pasta", "slirp4netns"])
def test_the_hosts_shared_mounts_stay(name: str, tmp_path: Path) -> None:
    """`ip netns add` shares /run/netns; slirp4netns's sandbox unmounted it from the whole host."""
    with lab() as here, a_world(tmp_path) as world, running(service(world, name), *here.prefix):
        asyncio.run(asyncio.wait_for(world.linked(), 10))
        time.sleep(0.3)  # its sandbox comes after its interface
        assert f" /run/netns/{here.host} " in Path("/proc/self/mountinfo").read_text()
