"""Our netlink encoder against the kernel: lists longer than one answer, default routes set and moved."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.common.mounts import pin_network_namespace, umount
from moby_components.common.netlink import Netlink, NetlinkError, list_addresses, list_links
from moby_components.common.netlink.routes import DefaultRoute, default_routes, delete_default, set_default
from moby_components.common.netns import run_in

pytestmark = pytest.mark.root


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "ns"
    pin_network_namespace(path)
    try:
        yield path
    finally:
        umount(path, lazy=True)


def ip(*lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True, timeout=30)


def test_a_list_that_is_not_read_to_its_end_blocks_nothing(netns: Path) -> None:
    """With more interfaces than one datagram tells of, the kernel was still listing: EBUSY."""

    def work() -> None:
        ip(*(f"link add v{n} type veth peer name w{n}" for n in range(60)))
        with Netlink() as netlink:
            assert next(iter(list_links(netlink))).name == "lo"
            names = {link.name for link in list_links(netlink)}
            assert names == {"lo", *(f"{letter}{n}" for letter in "vw" for n in range(60))}
            assert list(list_addresses(netlink)) == []

    run_in(netns, work)


def test_default_routes_are_set_moved_and_taken_away(netns: Path) -> None:
    def work() -> None:
        for n in (1, 2):
            ip(
                f"link add e{n} type veth peer name p{n}",
                f"link set e{n} up",
                f"link set p{n} up",
                f"address add 10.{n}.0.2/24 dev e{n}",
                f"address add fd00:{n}::2/64 dev e{n} nodad",
            )
        with Netlink() as netlink:
            index = {link.name: link.index for link in list_links(netlink)}

            def found(version: int) -> list[tuple[int, str, int]]:
                return [(r.index, r.gateway, r.metric) for r in default_routes(netlink, version)]

            set_default(netlink, index["e1"], {4: "10.1.0.1", 6: "fd00:1::1"})
            assert found(4) == [(index["e1"], "10.1.0.1", 0)]
            assert found(6) == [(index["e1"], "fd00:1::1", 1024)]
            set_default(netlink, index["e1"], {4: "10.1.0.1", 6: "fd00:1::1"})
            assert len(found(4)) == len(found(6)) == 1
            ip(
                "route add default via 10.1.0.9 dev e1 metric 50",
                "route add default dev e2 scope link metric 60",
                "route add default via fd00:1::9 dev e1 metric 50",
                "route add 10.9.0.0/16 via 10.1.0.1 dev e1",
                "route add default via 10.1.0.1 dev e1 table 100",
            )
            set_default(netlink, index["e2"], {4: "10.2.0.1", 6: "fd00:2::1"})
            assert found(4) == [(index["e2"], "10.2.0.1", 0)]
            assert found(6) == [(index["e2"], "fd00:2::1", 1024)]
            set_default(netlink, index["e2"], {6: ""})
            assert (len(found(4)), found(6)) == (1, [])
            set_default(netlink, index["e2"], {4: ""})
            assert found(4) == []
            kept = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
            assert "10.9.0.0/16 via 10.1.0.1 dev e1" in kept
            other = ["ip", "route", "show", "table", "100"]
            assert "default" in subprocess.run(other, capture_output=True, text=True, check=True).stdout
            netlink.send([delete_default(DefaultRoute(4, index["e1"], "10.1.0.9", 50))])  # gone already
            with pytest.raises(NetlinkError, match=r"^\[Errno 101\] .*: 'route to 0.0.0.0/0 by 10.3.0.1'$"):
                set_default(netlink, index["e2"], {4: "10.3.0.1"})

    run_in(netns, work)
