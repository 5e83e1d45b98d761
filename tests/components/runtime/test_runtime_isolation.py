"""What a container shares and what it is given: namespaces, devices, privilege, propagation, init."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.runtime.conftest import House, output_of
from moby_components.common.ociruntime import OciRuntime
from moby_components.common.ociruntime.inits import find_init
from moby_py.errors import Unavailable
from moby_py.model import ContainerIO, Device, Mount, ProcessSpec, Sandbox

pytestmark = pytest.mark.root
KINDS = ("pid", "ipc", "uts", "cgroup")


def of_host(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


def test_each_namespace_is_private_unless_shared(house: Any, runtime_class: type[OciRuntime]) -> None:
    if "join-namespaces" not in runtime_class.features:
        assert runtime_class.sandboxed  # a kernel of its own: there is nothing to share
        return

    async def work(h: House) -> None:
        for mode in ("private", "host"):
            spec = h.spec("sleep", "60", namespaces=dict.fromkeys(KINDS, mode))
            await (await h.up(spec)).close()
            pid = (await h.runtime.state(spec.id)).pid
            same = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") == of_host(kind) for kind in KINDS}
            assert same == dict.fromkeys(KINDS, mode == "host")
            if mode == "host":
                assert await h.runtime.processes(spec.id) == [pid]
            await h.runtime.delete(spec.id)

    house(work)


def test_namespaces_of_another_container_are_joined(house: Any, runtime_class: type[OciRuntime]) -> None:
    if "join-namespaces" not in runtime_class.features:
        assert runtime_class.sandboxed
        return

    async def work(h: House) -> None:
        first = h.spec("sleep", "60", hostname="first")
        await (await h.up(first)).close()
        pid = (await h.runtime.state(first.id)).pid
        shared = {kind: f"/proc/{pid}/ns/{kind}" for kind in ("pid", "ipc", "uts")}
        second = h.spec(
            "sh", "-c", "cat /proc/sys/kernel/hostname; ls -d /proc/1; sleep 60", namespaces=shared
        )
        sandbox = Sandbox(mode="private", path=f"/proc/{pid}/ns/net")
        await h.runtime.create(second, h.rootfs, sandbox, ContainerIO())
        streams = await h.runtime.attach(second.id)
        await h.runtime.start(second.id)
        seen = b""
        while b"/proc/1" not in seen:
            piece = await streams.read()
            assert piece is not None
            seen += piece[1]
        assert seen == b"first\n/proc/1\n"
        await streams.close()
        other = (await h.runtime.state(second.id)).pid
        for kind in ("pid", "ipc", "uts", "net"):
            assert os.readlink(f"/proc/{other}/ns/{kind}") == os.readlink(f"/proc/{pid}/ns/{kind}")

    house(work)


def test_the_network_is_empty_or_the_hosts(house: Any) -> None:
    async def work(h: House) -> list[bytes]:
        seen = []
        for mode in ("empty", "host"):
            spec = h.spec("sh", "-c", "ls /sys/class/net; grep -c . /proc/net/dev")
            await h.runtime.create(spec, h.rootfs, Sandbox(mode=mode), ContainerIO())
            streams = await h.runtime.attach(spec.id)
            await h.runtime.start(spec.id)
            seen.append((await output_of(streams))[0])
            await h.runtime.wait(spec.id)
        return seen

    empty, host = house(work)
    assert empty.split()[0] == b"lo"
    assert set(os.listdir("/sys/class/net")) <= {name.decode() for name in host.split()}


def test_a_user_namespace_of_its_own(house: Any, runtime_class: type[OciRuntime], root: Path) -> None:
    if "userns" not in runtime_class.features:
        assert runtime_class.sandboxed
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, 200000, 200000, follow_symlinks=False)
    for path in (root, *root.parents):
        if path.stat().st_mode & 0o005 != 0o005 and str(path).startswith("/tmp/"):
            path.chmod(0o755)

    async def work(h: House) -> Any:
        table = ((0, 200000, 65536),)
        spec = h.spec(
            "sh", "-c", "id -u; cat /proc/self/uid_map; touch /made",
            namespaces={"user": "private"}, uid_mappings=table, gid_mappings=table,
        )  # fmt: skip
        return await h.play(spec)

    out, err, code = house(work)
    assert (err, code) == (b"", 0)
    assert out.split() == [b"0", b"0", b"200000", b"65536"]
    assert (root / "made").stat().st_uid == 200000


def test_devices_are_given_one_by_one_or_all(house: Any, runtime_class: type[OciRuntime]) -> None:
    if "devices" not in runtime_class.features:
        assert runtime_class.sandboxed
        return

    async def work(h: House) -> tuple[bytes, ...]:
        script = "head -c 3 /dev/given | wc -c; head -c 1 /dev/kmsg >/dev/null 2>&1 || echo withheld; ls /dev"
        given = Device(source="/dev/zero", target="/dev/given", access="r")
        capabilities = {"capabilities": ("CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYSLOG")}
        one = await h.play(h.spec("sh", "-c", script, devices=(given,), process=capabilities))
        everything = await h.play(h.spec("sh", "-c", "ls /dev", privileged=True, process=capabilities))
        return one[0], everything[0]

    one, everything = house(work)
    assert one.startswith(b"3\nwithheld\n")
    assert b"kmsg" not in one.split()
    assert {b"kmsg", b"null"} <= set(everything.split())


def test_mounts_propagate_when_asked(house: Any, runtime_class: type[OciRuntime], tmp_path: Path) -> None:
    if runtime_class.sandboxed:
        assert "join-namespaces" not in runtime_class.features  # the sandbox's mounts are its own
        return
    outside = tmp_path / "outside"
    outside.mkdir()

    async def work(h: House) -> bytes:
        mount = Mount(type="bind", source=str(outside), target="/data", options=("rbind", "rslave"))
        look = ("sh", "-c", "grep ' /data ' /proc/self/mountinfo")
        slave = (await h.play(h.spec(*look, mounts=(mount,))))[0]
        plain = Mount(type="bind", source=str(outside), target="/data")
        private = (await h.play(h.spec("sh", "-c", "grep ' /data ' /proc/self/mountinfo", mounts=(plain,))))[
            0
        ]
        assert b"master:" not in private
        return slave

    shared = any(
        " shared:" in line and str(tmp_path).startswith(line.split()[4])
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    )
    assert (b"master:" in house(work)) == shared


def test_an_init_reaps_as_pid_one(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sh", "-c", "cat /proc/1/comm; exit 5", init=True)
        if find_init() is None:
            with pytest.raises(Unavailable) as caught:
                await h.up(spec)
            text = "cannot run an init in the container - this host has no static init program"
            assert caught.value.message == text
            return b"docker-init\n", b"", 5
        return await h.play(spec)

    assert house(work) == (b"docker-init\n", b"", 5)


def test_seccomp_profiles(house: Any, runtime_class: type[OciRuntime]) -> None:
    if "seccomp" not in runtime_class.features:
        assert runtime_class.sandboxed
        return
    profile = """{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errno": "ENOTTY"}]}"""

    async def work(h: House) -> list[bytes]:
        script = "grep Seccomp: /proc/self/status; /bin/busybox mkdir /tmp/d 2>&1"
        seen = []
        for seccomp in ("default", "unconfined", profile):
            seen.append((await h.play(h.spec("sh", "-c", script, seccomp=seccomp)))[0])
            shutil.rmtree(Path(h.rootfs.path) / "tmp/d", ignore_errors=True)
        return seen

    default, unconfined, own = house(work)
    assert default == b"Seccomp:\t2\n"
    assert unconfined == b"Seccomp:\t0\n"
    assert own.splitlines()[0] == b"Seccomp:\t2"
    assert b"Inappropriate ioctl for device" in own


def test_exec_keeps_to_the_containers_confinement(house: Any, runtime_class: type[OciRuntime]) -> None:
    if "seccomp" not in runtime_class.features:
        assert runtime_class.sandboxed
        return

    async def work(h: House) -> bytes:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        process = ProcessSpec(
            args=("grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status"), env=("PATH=/bin",)
        )
        streams = await h.runtime.exec(spec.id, "e", process, ContainerIO(), attach=True)
        assert streams is not None
        return (await output_of(streams))[0]

    assert house(work) == b"CapEff:\t0000000000000000\nSeccomp:\t2\n"
