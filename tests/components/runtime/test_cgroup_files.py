"""Statistics out of files as kernels write them. The v2 tree is one of a systemd host's (Linux 6.1, a
container of docker's systemd driver): this machine's own cgroups are v1."""

from __future__ import annotations

from pathlib import Path

from moby_components.api.docker.shapes.stats import sample
from moby_components.common.cgroups.layout import UNIFIED
from moby_components.common.cgroups.stats import read_stats
from moby_components.engine.moby.interfaces import interface_stats, parse
from moby_py.model import BlockIO, InterfaceStats, Stats

V2 = {
    "cpu.stat": "usage_usec 7410523\nuser_usec 5012345\nsystem_usec 2398178\ncore_sched.force_idle_usec 0\n"
    "nr_periods 120\nnr_throttled 17\nthrottled_usec 934512\nnr_bursts 0\nburst_usec 0\n",
    "memory.current": "73801728\n",
    "memory.peak": "91226112\n",
    "memory.max": "134217728\n",
    "memory.events": "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n",
    "memory.stat": "anon 52428800\nfile 16777216\nkernel 2097152\nshmem 0\ninactive_file 12582912\n"
    "active_file 4194304\npgfault 40321\n",
    "pids.current": "11\n",
    "pids.max": "100\n",
    "io.stat": "259:0 rbytes=1048576 wbytes=10485760 rios=32 wios=12 dbytes=0 dios=0\n"
    "253:1 \n8:16 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
}
NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0       0          0
  eth0: 5300012    4012    1    2    0     0          0         0    90021    1200    3    4    0     0       0          0
eth1:18446744073709551615 7 0 0 0 0 0 0 9 1 0 0 0 0 0 0
odd:name:       1       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0
"""  # noqa: E501


def written(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_v2(tmp_path: Path) -> None:
    found = read_stats({UNIFIED: written(tmp_path / "c", V2)})
    assert (found.cpu_total, found.cpu_user, found.cpu_system) == (7410523000, 5012345000, 2398178000)
    assert (found.periods, found.throttled_periods, found.throttled_time) == (120, 17, 934512000)
    assert (found.memory_usage, found.memory_max, found.memory_limit) == (73801728, 91226112, 134217728)
    assert (found.memory_failures, found.memory["inactive_file"]) == (4, 12582912)
    assert (found.pids, found.pids_limit) == (11, 100)
    sizes = {(io.major, io.minor, io.op): io.value for io in found.io_bytes}
    assert sizes[259, 0, "Read"] == 1048576
    assert sizes[259, 0, "Write"] == 10485760
    assert sizes[8, 16, "Read"] == 4096
    counts = {(io.major, io.minor, io.op): io.value for io in found.io_operations}
    assert (counts[259, 0, "Read"], counts[259, 0, "Write"]) == (32, 12)


def test_v2_without_limits_and_on_an_old_kernel(tmp_path: Path) -> None:
    files = {**V2, "memory.max": "max\n", "pids.max": "max\n"}
    del files["memory.peak"]  # since Linux 5.19
    del files["io.stat"]
    found = read_stats({UNIFIED: written(tmp_path / "c", files)})
    assert found.memory_limit > 134217728
    assert (found.memory_max, found.pids_limit, found.io_bytes) == (0, 0, ())
    assert read_stats({UNIFIED: tmp_path / "gone"}).cpu_total == 0


def test_v1_block_io_by_whoever_counts(tmp_path: Path) -> None:
    throttle = "7:0 Read 4096\n7:0 Write 8192\n7:0 Sync 12288\n7:0 Async 0\n7:0 Total 12288\nTotal 12288\n"
    files = {"blkio.throttle.io_service_bytes_recursive": throttle}
    blkio = written(tmp_path / "b", {**files, "blkio.bfq.io_service_bytes_recursive": "Total 0\n"})
    found = {io.op: io.value for io in read_stats({"blkio": blkio}).io_bytes}
    assert (found["Read"], found["Write"]) == (4096, 8192)
    (blkio / "blkio.bfq.io_service_bytes_recursive").write_text("8:0 Read 1\n8:0 Write 2\nTotal 3\n")
    assert read_stats({"blkio": blkio}).io_bytes == (
        BlockIO(major=8, minor=0, op="Read", value=1),
        BlockIO(major=8, minor=0, op="Write", value=2),
    )


def test_interfaces() -> None:
    found = parse(NET_DEV)
    assert set(found) == {"eth0", "eth1", "odd:name"}
    assert found["eth0"] == InterfaceStats(
        rx_bytes=5300012, rx_packets=4012, rx_errors=1, rx_dropped=2,
        tx_bytes=90021, tx_packets=1200, tx_errors=3, tx_dropped=4,
    )  # fmt: skip
    assert found["eth1"].rx_bytes == 2**64 - 1
    assert parse("") == {}
    assert parse("two\ntitles\nbroken: 1 2\n") == {}
    assert interface_stats(1 << 30) == {}


def test_dockers_form() -> None:
    stats = Stats(networks={"eth0": InterfaceStats(rx_bytes=5, tx_dropped=6)})
    shape = sample(stats, id="i", name="n", read="r", system=1, before=None)
    assert shape["networks"] == {
        "eth0": {
            "rx_bytes": 5, "rx_packets": 0, "rx_errors": 0, "rx_dropped": 0,
            "tx_bytes": 0, "tx_packets": 0, "tx_errors": 0, "tx_dropped": 6,
        }
    }  # fmt: skip
    assert "networks" not in sample(Stats(), id="i", name="n", read="r", system=1, before=None)
