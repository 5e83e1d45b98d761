"""The table of operations, each a coroutine that asserts. Run as root by test_operations_root and
inside an ordinary user's namespace by test_operations_ordinary: the same code, the same results."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from components.bubblewrap.room import Room, everything
from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, MobyError, NotFound
from moby_py.model import ContainerIO, Device, Mount, ProcessSpec, Rlimit

Operation = Callable[[Room], Awaitable[None]]
TABLE: dict[str, Operation] = {}


def operation(work: Operation) -> Operation:
    TABLE[work.__name__] = work
    return work


async def fails(awaitable: Awaitable[object], kind: type[MobyError]) -> str:
    try:
        await awaitable
    except kind as error:
        return error.message
    raise AssertionError(f"no {kind.__name__}")


@operation
async def output_and_exit_code(r: Room) -> None:
    output, status = await r.run(r.spec("sh", "-c", "echo out; echo err >&2; exit 7"))
    assert sorted(output.split()) == ["err", "out"]
    assert (status.code, status.oom_killed, status.error) == (7, False, "")


@operation
async def signal_death(r: Room) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        # A handler, since the kernel keeps default signals from the first process of a namespace.
        spec = r.spec("sh", "-c", "trap 'exit 143' TERM; echo up; while :; do sleep 0.05; done")
        id = await r.create(spec)
        streams = await r.runtime.attach(id)
        await r.runtime.start(id)
        assert await streams.read() == (1, b"up\n")
        await r.runtime.kill(id, number)
        assert (await r.runtime.wait(id)).code == 128 + number
        await streams.close()
        assert (
            await fails(r.runtime.kill(id, 9), Conflict) == f"cannot kill container {id} - it is not running"
        )


@operation
async def stdin_and_its_end(r: Room) -> None:
    output, status = await r.run(r.spec("wc", "-c"), feed=b"x" * 300_000)
    assert (output.strip(), status.code) == ("300000", 0)


@operation
async def no_stdin_is_dev_null(r: Room) -> None:
    assert await r.output("wc", "-c") == "0\n"


@operation
async def fifty_megabytes_through_a_pipe(r: Room) -> None:
    size = 50 << 20
    id = await r.create(r.spec("sh", "-c", f"yes 0123456789 | head -c {size}"), log=str(r.base / "big.log"))
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    digest, count = hashlib.sha256(), 0
    while (piece := await streams.read()) is not None:
        digest.update(piece[1])
        count += len(piece[1])
    await streams.close()
    assert count == size
    expected = (b"0123456789\n" * (size // 11 + 1))[:size]
    assert digest.digest() == hashlib.sha256(expected).digest()
    assert (await r.runtime.wait(id)).code == 0
    logged = (r.base / "big.log").read_bytes()
    text = b"".join(
        line.split(b" ", 3)[3] + (b"\n" if line.split(b" ", 3)[2] == b"F" else b"")
        for line in logged.splitlines()
    )
    assert hashlib.sha256(text).digest() == digest.digest()
    (r.base / "big.log").unlink()


@operation
async def a_slow_reader_holds_the_process_back(r: Room) -> None:
    id = await r.create(r.spec("sh", "-c", "seq 200000; echo end"))
    slow, fast = await r.runtime.attach(id), await r.runtime.attach(id)
    await r.runtime.start(id)
    reading = asyncio.ensure_future(everything(fast))
    await asyncio.sleep(0.3)
    assert not reading.done(), "the fast reader must wait for the slow one"
    first, second = await asyncio.gather(everything(slow), reading)
    assert first == second
    assert first.endswith(b"200000\nend\n")
    assert (await r.runtime.wait(id)).code == 0


@operation
async def log_is_cri_and_reopened(r: Room) -> None:
    log = r.base / "c.log"
    script = "echo one; printf two; read x; echo three >&2; read x"
    id = await r.create(r.spec("sh", "-c", script), log=str(log), stdin=True)
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    got = b""
    while b"two" not in got:
        got += (await streams.read() or (0, b"two"))[1]
    log.rename(r.base / "c.log.1")
    await r.runtime.reopen_log(id)
    for _ in range(200):
        if log.exists():
            break
        await asyncio.sleep(0.01)
    await streams.write(b"\n\n")
    assert (await r.runtime.wait(id)).code == 0
    await streams.close()
    old = [line.split(" ", 3) for line in (r.base / "c.log.1").read_text().splitlines()]
    assert [entry[1:] for entry in old] == [["stdout", "F", "one"], ["stdout", "P", "two"]]
    assert len(old[0][0]) == len("2026-01-02T03:04:05.123456789Z")
    assert old[0][0].endswith("Z")
    assert log.read_text().split(" ", 1)[1] == "stderr F three\n"
    assert log.stat().st_mode & 0o777 == 0o600


@operation
async def terminal_and_resize(r: Room) -> None:
    script = "stty size; trap 'stty size; exit 5' WINCH; tty; while :; do sleep 0.05; done"
    id = await r.create(
        r.spec("sh", "-c", script, process={"tty": True, "console_size": (31, 91)}), stdin=True
    )
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    got = b""
    while b"/dev/pts/0" not in got:
        got += (await streams.read() or (0, b"/dev/pts/0 never came"))[1]
    assert b"31 91\r\n/dev/pts/0" in got
    await r.runtime.resize(id, 40, 100)
    got += await everything(streams)
    assert got.endswith(b"40 100\r\n")
    assert (await r.runtime.wait(id)).code == 5


@operation
async def terminal_input(r: Room) -> None:
    id = await r.create(r.spec("sh", process={"tty": True}), stdin=True)
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    await streams.write(b"echo $((6*7)); exit 3\n")
    assert b"42" in await everything(streams)
    assert (await r.runtime.wait(id)).code == 3


@operation
async def exec_in_it(r: Room) -> None:
    id = await r.create(r.spec("sleep", "60"))
    await r.runtime.start(id)
    assert await r.exec(id, "sh", "-c", "echo $PPID; hostname; cat; exit 4", feed=b"fed\n") == (
        "0\nkithost\nfed\n",
        4,
    )
    output, code = await r.exec(id, "sh", "-c", "tty; stty size", tty=True, console_size=(20, 70))
    assert (output, code) == ("/dev/pts/0\r\n20 70\r\n", 0)
    assert (await r.exec(id, "sh", "-c", "grep ^Cap /proc/self/status; grep ^Seccomp: /proc/self/status"))[
        0
    ] == (await r.exec(id, "sh", "-c", "grep ^Cap /proc/1/status; grep ^Seccomp: /proc/1/status"))[0]
    missing = r.exec(id, "not-there")
    assert await fails(missing, MobyError) == (
        'unable to start container process - exec: "not-there": executable file not found in $PATH'
    )
    nowhere = r.exec(id, "true", cwd="/not/there")
    assert await fails(nowhere, InvalidArgument) == (
        'cannot enter the working directory "/not/there" - no such directory'
    )
    processes = await r.runtime.processes(id)
    assert processes[0] == (await r.runtime.state(id)).pid
    assert len(processes) == 1, "ended execs leave nothing"
    assert await fails(r.runtime.wait(id, "e" * 64), NotFound)


@operation
async def exec_detached_and_killed_with_its_container(r: Room) -> None:
    id = await r.create(r.spec("sleep", "60"))
    await r.runtime.start(id)
    process = ProcessSpec(args=("sleep", "60"), env=("PATH=/bin",))
    assert await r.runtime.exec(id, "d" * 64, process, ContainerIO(), attach=False) is None
    assert len(await r.runtime.processes(id)) == 2
    waiting = asyncio.ensure_future(r.runtime.wait(id, "d" * 64))
    await r.runtime.kill(id, signal.SIGKILL)
    assert (await asyncio.wait_for(waiting, 10)).code == 137
    assert await fails(r.runtime.exec(id, "e" * 64, process, ContainerIO(), attach=False), Conflict) == (
        f"container {id} is not running"
    )


@operation
async def env_cwd_hostname(r: Room) -> None:
    script = "echo $KIT $HOME; pwd; hostname; cat /proc/sys/kernel/domainname"
    spec = r.spec("sh", "-c", script, process={"cwd": "/made/for/it"}, domainname="kit.test")
    output, status = await r.run(spec)
    assert output == "yes /root\n/made/for/it\nkithost\nkit.test\n"
    assert status.code == 0


@operation
async def missing_and_unfit_programs(r: Room) -> None:
    words = "unable to start container process - exec: "
    for name, text in (
        ("nothing", '"nothing": executable file not found in $PATH'),
        ("/bin/nothing", '"/bin/nothing": stat /bin/nothing: no such file or directory'),
        ("/etc/plain", '"/etc/plain": permission denied'),
        ("/etc", '"/etc": is a directory'),
    ):
        spec = r.spec(name)
        assert await fails(r.create(spec), MobyError) == words + text
        assert not (r.base / "run/runtime/bubblewrap" / spec.id).exists()
        assert await fails(r.runtime.state(spec.id), NotFound)
    (r.rootfs / "bin/garbage").write_bytes(b"\1\2\3")
    (r.rootfs / "bin/garbage").chmod(0o755)
    id = await r.create(r.spec("garbage"))
    assert await fails(r.runtime.start(id), MobyError) == f'{words}"garbage": exec format error'
    assert (await r.runtime.wait(id)).code == 126


@operation
async def start_twice_and_create_twice(r: Room) -> None:
    spec = r.spec("sleep", "60")
    id = await r.create(spec)
    assert await fails(r.create(spec), AlreadyExists) == f"container {id} exists in runtime 'bubblewrap'"
    await r.runtime.start(id)
    assert await fails(r.runtime.start(id), Conflict) == "cannot start - it was started before"


@operation
async def kill_before_start(r: Room) -> None:
    id = await r.create(r.spec("sleep", "60"))
    await r.runtime.kill(id, signal.SIGKILL)
    assert (await r.runtime.wait(id)).code == 137
    assert (await r.runtime.state(id)).status == "stopped"


@operation
async def users(r: Room) -> None:
    """By name and number, supplementary groups, and the owner of what they write."""
    if r.one_id:
        text = await fails(r.create(r.spec("id", process={"user": "kit"})), InvalidArgument)
        assert text == "cannot run as uid 1234 - it is not mapped into this platform's user namespace"
        return
    data = r.base / "owned"
    data.mkdir()
    data.chmod(0o777)
    mounts = (Mount(type="bind", source=str(data), target="/data"),)
    for user, groups, expected in (
        ("kit", (), "1234 1235 1235 77"),
        ("kit", ("more", "99"), "1234 1235 1235 77 88 99"),
        ("1234:88", (), "1234 88 88"),
        ("4321", (), "4321 0 0"),
        ("", (), "0 0 0"),
    ):
        script = "echo $(id -u) $(id -g) $(id -G); touch /data/$(id -u)-$(id -g)"
        got = await r.output("sh", "-c", script, process={"user": user, "groups": groups}, mounts=mounts)
        assert sorted(got.split()) == sorted(expected.split()), user
        uid, gid = expected.split()[:2]
        made = (data / f"{uid}-{gid}").stat()
        assert (made.st_uid, made.st_gid) == (int(uid), int(gid))
    assert await fails(r.create(r.spec("id", process={"user": "nobody-known"})), InvalidArgument) == (
        "unable to find user nobody-known - no matching entries in passwd file"
    )


@operation
async def capabilities_and_no_new_privs(r: Room) -> None:
    wanted = 0xA80425FB  # Docker's fourteen
    script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"
    found = dict(line.split(":\t") for line in (await r.output("sh", "-c", script)).splitlines())
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == int(found["CapBnd"], 16) == wanted
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "2")
    spec = {"process": {"no_new_privileges": True, "capabilities": ("CAP_KILL",)}, "seccomp": "unconfined"}
    found = dict(line.split(":\t") for line in (await r.output("sh", "-c", script, **spec)).splitlines())
    assert (int(found["CapEff"], 16), found["NoNewPrivs"], found["Seccomp"]) == (1 << 5, "1", "0")
    if not r.one_id:
        output = await r.output("sh", "-c", script, process={"user": "kit"})
        found = dict(line.split(":\t") for line in output.splitlines())
        assert (int(found["CapEff"], 16), int(found["CapBnd"], 16)) == (0, wanted)


@operation
async def seccomp_blocks(r: Room) -> None:
    """The default profile is tried call by call in test_bubblewrap_seccomp."""
    profile = """{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"""
    output, _ = await r.run(r.spec("mkdir", "/tmp/x", seccomp=profile))
    assert "No space left on device" in output
    assert await fails(r.create(r.spec("true", seccomp='{"defaultAction": "NONE"}')), InvalidArgument) == (
        "cannot compile the seccomp profile - action 'NONE' is not supported"
    )


@operation
async def the_host_is_out_of_reach(r: Room) -> None:
    script = (
        "exec 2>&1; mount -t tmpfs x /tmp; { echo 1 > /proc/sys/vm/drop_caches; }; cat /proc/kcore | wc -c; "
        "ls /sys/firmware; "
        "echo fds $(ls /proc/self/fd); ls /; mknod /tmp/vda b 254 0; cat /tmp/vda | head -c 1"
    )
    output, _ = await r.run(r.spec("sh", "-c", script))
    assert "mount: mounting x on /tmp failed" in output or "permission denied" in output
    assert "drop_caches: Read-only file system" in output
    lines = output.splitlines()
    assert "0" in lines, "kcore is masked"
    assert "fds 0 1 2 3" in lines, "no descriptor leaked in beyond 0, 1, 2 and ls's own"
    assert "oldroot" not in lines
    assert "cat: can't open '/tmp/vda'" in output


@operation
async def read_only_root(r: Room) -> None:
    mounts = (
        Mount(type="tmpfs", source="tmpfs", target="/scratch", options=("size=65536", "mode=1777", "noexec")),
    )
    script = "touch /x; touch /scratch/y && echo ok; touch /dev/shm/z && echo shm; grep scratch /proc/mounts"
    output, status = await r.run(r.spec("sh", "-c", script, readonly_rootfs=True, mounts=mounts))
    assert "touch: /x: Read-only file system" in output
    # two pipes: the complaint may come between them
    assert "ok\n" in output
    assert "shm\n" in output
    assert "noexec" in output
    assert "size=64k" in output
    assert status.code == 0
    assert not (r.rootfs / "x").exists()


@operation
async def mounts(r: Room) -> None:
    """Binds of directories and files, read-only, through a symbolic link of the image, refused ones."""
    source = r.base / "vol"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_text("content\n")
    (r.rootfs / "link").symlink_to("/etc/deep")  # absolute: must stay within the container
    binds = (
        Mount(type="bind", source=str(source), target="/rw", options=("rbind", "rw")),
        Mount(type="bind", source=str(source), target="/ro", options=("ro",)),
        Mount(type="bind", source=str(source / "file"), target="/link/into/file", options=("ro",)),
    )
    script = (
        "echo new > /rw/sub/n; cat /ro/sub/n; touch /ro/x; cat /etc/deep/into/file; echo y > /link/into/file"
    )
    output, _ = await r.run(r.spec("sh", "-c", script, mounts=binds))
    assert output.startswith("new\n")
    assert "touch: /ro/x: Read-only file system" in output
    assert "content\n" in output
    assert "can't create /link/into/file: Read-only file system" in output
    assert (source / "sub/n").read_text() == "new\n"
    assert not Path("/etc/deep").exists(), "a link of the image led out of the container"
    for mount, text in (
        (Mount(type="bind", source="/not/there", target="/x"),
         "cannot mount /not/there on /x - no such file or directory"),
        (Mount(type="bind", source=str(source), target="/proc/self"), "cannot mount on /proc/self - "),
        (Mount(type="bind", source=str(source / "file"), target="/etc"),
         "cannot mount a file on /etc - it is a directory"),
        (Mount(type="bind", source=str(source), target="/x", options=("what",)),
         f"cannot mount {source} on /x - unknown option 'what' for a bind"),
    ):  # fmt: skip
        assert (await fails(r.create(r.spec("true", mounts=(mount,))), InvalidArgument)).startswith(text)


@operation
async def devices(r: Room) -> None:
    output = await r.output(
        "sh", "-c", "ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; ls -l /dev/stdout"
    )
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd"} <= set(
        output.split()
    )
    if Path("/dev/loop-control").exists() or Path("/dev/fuse").exists():
        source = next(p for p in ("/dev/fuse", "/dev/loop-control") if Path(p).exists())
        given = (Device(source=source, target="/dev/given"),)
        assert "c" in (await r.output("stat", "-c", "%F", "/dev/given", devices=given))


@operation
async def rlimits(r: Room) -> None:
    limits = (Rlimit(name="nofile", soft=100, hard=200), Rlimit(name="core", soft=0, hard=0))
    spec = {"process": {"rlimits": limits}}
    assert (await r.output("sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c", **spec)).split() == [
        "100",
        "200",
        "0",
    ]


@operation
async def init_reaps_and_passes_signals(r: Room) -> None:
    script = "trap 'exit 9' TERM; (setsid sleep 0 &); echo $$; while :; do sleep 0.05; done"
    id = await r.create(r.spec("sh", "-c", script, init=True))
    streams = await r.runtime.attach(id)
    await r.runtime.start(id)
    piece = await streams.read()
    assert piece is not None
    assert piece[1] != b"1\n", "the program is not pid 1"
    look = "tr '\\0' ' ' < /proc/1/cmdline; cat /proc/1/comm; cat /proc/1/environ"
    seen = (await r.exec(id, "sh", "-c", look))[0]
    assert seen.split()[:2] == ["init", "init"]
    assert "Permission denied" in seen, "the monitor's environment is not the container's to read"
    await r.runtime.kill(id, signal.SIGTERM)
    assert (await r.runtime.wait(id)).code == 9
    await streams.close()


@operation
async def host_namespaces(r: Room) -> None:
    script = "readlink /proc/self/ns/pid; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"
    (r.rootfs / "bin/readlink").symlink_to("busybox")
    kinds = {"pid": "host", "ipc": "host", "uts": "host", "cgroup": "host"}
    spec = r.spec("sh", "-c", script, namespaces=kinds, hostname="")
    output, status = await r.run(spec, sandbox="host")
    assert status.code == 0, output
    assert output.split() == [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "net", "ipc")]


@operation
async def joined_namespaces(r: Room) -> None:
    first = await r.create(r.spec("sleep", "60"))
    await r.runtime.start(first)
    pid = (await r.runtime.state(first)).pid
    kinds = {kind: f"/proc/{pid}/ns/{kind}" for kind in ("pid", "ipc")}
    output, _ = await r.run(r.spec("ps", namespaces=kinds, hostname="other"))
    assert "sleep 60" in output


@operation
async def recovered_after_the_daemon_was_killed(r: Room) -> None:
    """Alive and ended ones are found, half-made ones removed."""
    from moby_components.runtime.bubblewrap.component import Bubblewrap

    live = await r.create(r.spec("sh", "-c", "read x; exit 11"), stdin=True, stdin_once=True)
    await r.runtime.start(live)
    ended = await r.create(r.spec("sh", "-c", "exit 12"))
    await r.runtime.start(ended)
    await r.runtime.wait(ended)
    waiting = await r.create(r.spec("sh", "-c", "exit 13"))
    half = await r.create(r.spec("sleep", "60"))
    run = r.base / "run/runtime/bubblewrap"
    pid = int((run / half / "pidfile").read_text())
    (run / half / "task.json").unlink()
    second = Bubblewrap(r.runtime.context)
    await second.open()
    states = {state.id: state for state in await second.recover()}
    assert {id: state.status for id, state in states.items()} == {
        live: "running", ended: "stopped", waiting: "created",
    }  # fmt: skip
    assert states[ended].exit is not None
    assert states[ended].exit.code == 12
    assert not Path(f"/proc/{pid}").exists()
    assert not (run / half).exists()
    await second.start(waiting)
    assert (await second.wait(waiting)).code == 13
    streams = await second.attach(live)
    await streams.write(b"\n")
    assert (await second.wait(live)).code == 11
    await streams.close()
    await second.close()


@operation
async def delete_leaves_nothing(r: Room) -> None:
    id = await r.create(r.spec("sh", "-c", "sleep 60 & sleep 60 & wait"))
    await r.runtime.start(id)
    process = ProcessSpec(args=("sleep", "60"), env=("PATH=/bin",))
    await r.runtime.exec(id, "d" * 64, process, ContainerIO(), attach=False)
    for _ in range(100):
        pids = await r.runtime.processes(id)
        if len(pids) >= 4:
            break
        await asyncio.sleep(0.02)
    monitor = int((r.base / "run/runtime/bubblewrap" / id / "conmon.pid").read_text())
    await r.runtime.delete(id)
    await r.runtime.delete(id)
    for pid in (*pids, monitor):
        with contextlib.suppress(FileNotFoundError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            assert state in "ZX", f"process {pid} is alive"
    assert not (r.base / "run/runtime/bubblewrap" / id).exists()
    assert list(Path("/sys/fs/cgroup").glob(f"*/moby-py/test-*/{id}")) == []
    assert str(r.base) not in Path("/proc/self/mountinfo").read_text()
    assert await fails(r.runtime.state(id), NotFound)


@operation
async def nothing_shows_in_argv_or_environ(r: Room) -> None:
    spec = r.spec("sleep", "60", process={"env": ("PATH=/bin", "TOKEN=kit-s3cret")})
    id = await r.create(spec)
    monitor = int((r.base / "run/runtime/bubblewrap" / id / "conmon.pid").read_text())
    for file in ("cmdline", "environ"):
        assert b"kit-s3cret" not in Path(f"/proc/{monitor}/{file}").read_bytes()
    for path in (r.base / "run/runtime/bubblewrap" / id).rglob("*"):
        if path.is_file():
            assert b"kit-s3cret" not in path.read_bytes()


@operation
async def no_program_of_the_host_can_be_written(r: Room) -> None:
    """#!/proc/self/exe executes whatever held the process before: here, a sealed copy in memory."""
    id = await r.create(r.spec("sleep", "60"))
    monitor = int((r.base / "run/runtime/bubblewrap" / id / "conmon.pid").read_text())
    for pid in (monitor, (await r.runtime.state(id)).pid):
        assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:")
        with open(f"/proc/{pid}/exe", "rb") as program:
            assert fcntl.fcntl(program, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
    (r.rootfs / "bin/again").write_text("#!/proc/self/exe\n")
    (r.rootfs / "bin/again").chmod(0o755)
    again = await r.create(r.spec("again"))
    with contextlib.suppress(MobyError):  # a dynamic interpreter finds no loader in this image
        await r.runtime.start(again)
    assert (await r.runtime.wait(again)).code != 0


@operation
async def many_at_once(r: Room) -> None:
    async def one(number: int) -> int:
        output, status = await r.run(r.spec("sh", "-c", f"echo {number}; exit {number}"))
        assert output == f"{number}\n"
        return status.code

    began = time.monotonic()
    assert await asyncio.gather(*(one(n) for n in range(8))) == list(range(8))
    assert time.monotonic() - began < 20
