"""Every operation of the contract on every OCI runtime, on real containers.

Where a runtime cannot do something, the test says what it answers instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest

from components.runtime.conftest import House, output_of
from moby_components.common.ociruntime import OciRuntime
from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, MobyError, NotFound, Unsupported
from moby_py.model import ContainerIO, Mount, ProcessSpec, Resources, Rlimit, RootFS, Sandbox

pytestmark = pytest.mark.root


def test_output_streams_and_exit_code(house: Any) -> None:
    async def work(h: House) -> Any:
        return await h.play(h.spec("sh", "-c", "echo out; echo err >&2; exit 3"))

    assert house(work) == (b"out\n", b"err\n", 3)


def test_environment_directory_and_hostname(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec(
            "sh", "-c", "echo $WORD $HOME; pwd; cat /proc/sys/kernel/hostname",
            process={"cwd": "/data"}, hostname="box",
        )  # fmt: skip
        return await h.play(spec)

    assert house(work)[0] == b"yes /root\n/data\nbox\n"


def test_a_working_directory_that_is_missing_is_made(house: Any) -> None:
    async def work(h: House) -> Any:
        return await h.play(h.spec("pwd", process={"cwd": "/not/there/yet"}))

    assert house(work)[0] == b"/not/there/yet\n"


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("user", (), b"1234 1235 1235 77 /home/user"),
        ("user:extra", (), b"1234 77 77 /home/user"),
        ("4321:root", (), b"4321 0 0 /"),
        ("user", ("root", "99"), b"1234 1235 1235 77 0 99 /home/user"),
    ],
)
def test_users_by_name_and_number(house: Any, user: str, groups: tuple[str, ...], expected: bytes) -> None:
    async def work(h: House) -> Any:
        spec = h.spec(
            "sh", "-c", "echo $(id -u) $(id -g) $(id -G) $HOME", process={"user": user, "groups": groups}
        )
        return (await h.play(spec))[0].strip()

    # Everyone agrees on the set; the order of supplementary groups is the kernel's.
    got, want = house(work).split(), expected.split()
    assert (got[:2], sorted(got[2:-1]), got[-1]) == (want[:2], sorted(want[2:-1]), want[-1])


def test_an_unknown_user_is_told(house: Any) -> None:
    async def work(h: House) -> str:
        with pytest.raises(InvalidArgument) as caught:
            await h.up(h.spec("id", process={"user": "nobody-here"}))
        return caught.value.message

    assert house(work) == "unable to find user nobody-here - no matching entries in passwd file"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("not-there", 'exec: "not-there": executable file not found in $PATH'),
        ("/not/there", 'exec: "/not/there": stat /not/there: no such file or directory'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_a_command_that_cannot_run_is_told_in_dockers_words(
    house: Any, runtime_class: type[OciRuntime], command: str, words: str
) -> None:
    async def work(h: House) -> str:
        spec = h.spec(command)
        with pytest.raises(MobyError) as caught:
            await h.up(spec)
        await h.runtime.delete(spec.id)
        return caught.value.message

    message = house(work)
    if runtime_class.name != "runsc":
        assert message == f"cannot create the container - {words}"
    elif command == "/etc/passwd":
        assert "permission denied" in message
    else:  # gVisor names the whole search path
        assert message.startswith("cannot start the container - ")
        assert message.endswith("no such file or directory")


def test_death_by_signal_and_kill(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done")
        streams = await h.up(spec)
        assert await streams.read() == (1, b"ready\n")
        await h.runtime.kill(spec.id, signal.SIGTERM)
        first = await h.runtime.wait(spec.id)
        with pytest.raises(Conflict) as caught:
            await h.runtime.kill(spec.id, signal.SIGKILL)
        assert caught.value.message == f"container {spec.id} is not running"
        await streams.close()
        other = h.spec("sleep", "60")
        streams = await h.up(other)
        await h.runtime.kill(other.id, signal.SIGKILL, everyone=True)
        await output_of(streams)
        return first.code, (await h.runtime.wait(other.id)).code

    assert house(work) == (5, 137)


def test_fifty_megabytes_through_a_pipe_unharmed(house: Any, runtime_class: type[OciRuntime]) -> None:
    size = 50 << 20
    block = os.urandom(1 << 20)

    async def work(h: House) -> Any:
        spec = h.spec("cat")
        streams = await h.up(spec, stdin=True, stdin_once=True)

        async def feed() -> None:
            for _ in range(size // len(block)):
                await streams.write(block)
            await streams.close_stdin()

        feeding, digest, count = asyncio.create_task(feed()), hashlib.sha256(), 0
        while (piece := await streams.read()) is not None:
            digest.update(piece[1])
            count += len(piece[1])
        await feeding
        await streams.close()
        return count, digest.hexdigest(), (await h.runtime.wait(spec.id)).code

    assert house(work) == (size, hashlib.sha256(block * 50).hexdigest(), 0)


def test_attach_before_start_loses_nothing_of_a_short_life(house: Any) -> None:
    async def work(h: House) -> list[bytes]:
        return [(await h.play(h.spec("seq", "1", "2000")))[0] for _ in range(5)]

    assert house(work) == [b"".join(b"%d\n" % n for n in range(1, 2001))] * 5


def test_a_terminal_with_its_size(house: Any) -> None:
    async def work(h: House) -> Any:
        script = "stty size; read line; echo got $line; stty size"
        spec = h.spec("sh", "-c", script, process={"tty": True, "console_size": (33, 99)})
        streams = await h.up(spec, stdin=True, stdin_once=True, tty=True)
        seen = b""
        while b"33 99" not in seen:
            piece = await streams.read()
            assert piece is not None, seen
            seen += piece[1]
        await h.runtime.resize(spec.id, 40, 120)
        await asyncio.sleep(0.2)  # the window goes through a fifo to the monitor, which answers nobody
        await streams.write(b"hello\n")
        out, err = await output_of(streams)
        return seen + out, err, (await h.runtime.wait(spec.id)).code

    out, err, code = house(work)
    assert (err, code) == (b"", 0)
    assert b"got hello\r\n40 120\r\n" in out


def test_exec_with_streams_user_and_exit_code(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sleep", "60")
        streams = await h.up(spec)
        exec_id = secrets.token_hex(32)
        process = ProcessSpec(
            args=("sh", "-c", "id -u; cat; echo err >&2; exit 9"),
            env=("PATH=/bin",),
            user="user",
            cwd="/data",
        )
        io = ContainerIO(stdin=True, stdin_once=True)
        inside = await h.runtime.exec(spec.id, exec_id, process, io, attach=True)
        assert inside is not None
        with pytest.raises(AlreadyExists):
            await h.runtime.exec(spec.id, exec_id, process, io, attach=False)
        await inside.write(b"fed\n")
        await inside.close_stdin()
        output = await output_of(inside)
        code = (await h.runtime.wait(spec.id, exec_id)).code
        assert (await h.runtime.wait(spec.id, exec_id)).code == code
        await streams.close()
        return *output, code

    assert house(work) == (b"1234\nfed\n", b"err\n", 9)


def test_exec_with_a_terminal_and_without_anybody(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        exec_id = secrets.token_hex(32)
        process = ProcessSpec(
            args=("sh", "-c", "sleep 0.3; stty size"), env=("PATH=/bin",), tty=True, console_size=(24, 81)
        )
        inside = await h.runtime.exec(spec.id, exec_id, process, ContainerIO(tty=True), attach=True)
        assert inside is not None
        out = (await output_of(inside))[0]
        codes = [(await h.runtime.wait(spec.id, exec_id)).code]
        alone = ProcessSpec(args=("sh", "-c", "exit 4"), env=("PATH=/bin",))
        assert await h.runtime.exec(spec.id, "alone", alone, ContainerIO(), attach=False) is None
        codes.append((await h.runtime.wait(spec.id, "alone")).code)
        return out, codes

    out, codes = house(work)
    assert out == b"24 81\r\n"
    assert codes == [0, 4]


def test_exec_of_a_missing_command(house: Any, runtime_class: type[OciRuntime]) -> None:
    async def work(h: House) -> str:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        process = ProcessSpec(args=("not-there",), env=("PATH=/bin",))
        with pytest.raises(MobyError) as caught:
            await h.runtime.exec(spec.id, "e1", process, ContainerIO(), attach=True)
        with pytest.raises(NotFound):
            await h.runtime.wait(spec.id, "e1")
        return caught.value.message

    message = house(work)
    if runtime_class.name == "runsc":
        assert "no such file or directory" in message
    else:
        assert (
            message == 'cannot exec in the container - exec: "not-there": executable file not found in $PATH'
        )


def test_pause_and_resume(house: Any) -> None:
    async def work(h: House) -> list[str]:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        seen = [(await h.runtime.state(spec.id)).status]
        await h.runtime.pause(spec.id)
        seen.append((await h.runtime.state(spec.id)).status)
        with pytest.raises(Conflict):
            await h.runtime.pause(spec.id)
        await h.runtime.resume(spec.id)
        seen.append((await h.runtime.state(spec.id)).status)
        await h.runtime.pause(spec.id)
        await h.runtime.kill(spec.id, signal.SIGKILL)
        seen.append(str((await h.runtime.wait(spec.id)).code))
        return seen

    assert house(work) == ["running", "paused", "running", "137"]


def test_a_memory_limit_that_is_hit(house: Any, runtime_class: type[OciRuntime]) -> None:
    async def work(h: House) -> Any:
        limits = Resources(memory=32 << 20, memory_swap=32 << 20)
        spec = h.spec("sh", "-c", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", resources=limits)
        await output_of(await h.up(spec))
        status = await h.runtime.wait(spec.id)
        again = await h.runtime.state(spec.id)
        assert again.exit == status
        return status.code, status.oom_killed

    code, killed = house(work)
    assert code == 137
    # gVisor's own kernel runs out of memory inside the host's cgroup: the whole sandbox is killed.
    assert killed, runtime_class.name


def test_limits_statistics_and_update(house: Any, runtime_class: type[OciRuntime]) -> None:
    async def work(h: House) -> Any:
        limits = Resources(memory=64 << 20, pids_limit=50, nano_cpus=500_000_000, cpu_shares=512)
        spec = h.spec("sleep", "60", resources=limits)
        await (await h.up(spec)).close()
        stats = await h.runtime.stats(spec.id)
        if runtime_class.name == "runsc":
            with pytest.raises(Unsupported):
                await h.runtime.update(spec.id, Resources(memory=96 << 20))
            return stats.memory_limit
        assert (stats.memory_limit, stats.pids_limit, stats.pids) == (64 << 20, 50, 1)
        assert stats.cpu_total > 0
        assert stats.memory_usage > 0
        await h.runtime.update(spec.id, Resources(memory=96 << 20, memory_swap=-1))
        pids = await h.runtime.processes(spec.id)
        assert pids == [(await h.runtime.state(spec.id)).pid]
        return (await h.runtime.stats(spec.id)).memory_limit

    assert house(work) == (64 << 20 if runtime_class.name == "runsc" else 96 << 20)


def test_a_read_only_root_with_a_tmpfs_and_a_bind(house: Any, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given/note").write_text("from outside\n")

    async def work(h: House) -> Any:
        mounts = (
            Mount(type="tmpfs", source="tmpfs", target="/tmp", options=("nosuid", "size=1m")),
            Mount(type="bind", source=str(tmp_path / "given"), target="/data", options=("rbind", "ro")),
        )
        script = """
            touch /x 2>/dev/null || echo sealed
            touch /tmp/x && cat /data/note
            touch /data/x 2>/dev/null || echo ro
        """
        return await h.play(h.spec("sh", "-c", script, readonly_rootfs=True, mounts=mounts))

    assert house(work)[0] == b"sealed\nfrom outside\nro\n"


def test_what_the_field_hides_and_withholds(house: Any, runtime_class: type[OciRuntime]) -> None:
    async def work(h: House) -> Any:
        script = """
            grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status
            cat /proc/keys | wc -c
        """
        spec = h.spec(
            "sh", "-c", script,
            process={"capabilities": ("CAP_CHOWN", "CAP_KILL"), "no_new_privileges": True},
            masked_paths=("/proc/keys",),
        )  # fmt: skip
        return (await h.play(spec))[0].split()

    seen = house(work)
    assert seen[seen.index(b"CapBnd:") + 1] == b"0000000000000021"
    assert seen[seen.index(b"CapEff:") + 1] == b"0000000000000021"
    if runtime_class.name != "runsc":  # gVisor shows neither, and filters by its own means
        assert seen[seen.index(b"NoNewPrivs:") + 1] == b"1"
        assert seen[seen.index(b"Seccomp:") + 1] == b"2"
        assert seen[-1] == b"0"


def test_limits_above_the_hosts_are_clamped_where_they_must(house: Any) -> None:
    async def work(h: House) -> Any:
        wanted = (Rlimit(name="nofile", soft=1024, hard=1 << 20),)
        return (
            await h.play(h.spec("sh", "-c", "ulimit -n", process={"rlimits": wanted, "oom_score_adj": -5}))
        )[0]

    assert house(work) == b"1024\n"


def test_the_log_is_in_the_cri_format_and_reopens(house: Any) -> None:
    async def work(h: House) -> Any:
        spec = h.spec("sh", "-c", "echo one; read x; echo two >&2; sleep 0.1; echo -n three")
        streams = await h.up(spec, stdin=True)
        assert await streams.read() == (1, b"one\n")
        h.log.rename(h.log.with_name("log.1"))
        await h.runtime.reopen_log(spec.id)
        for _ in range(100):
            if h.log.exists():
                break
            await asyncio.sleep(0.01)
        await streams.write(b"\n")
        await output_of(streams)
        await h.runtime.wait(spec.id)
        return h.log.with_name("log.1").read_text(), h.log.read_text()

    before, after = house(work)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d)"
    assert re.fullmatch(rf"{stamp} stdout F one\n", before)
    assert re.fullmatch(rf"{stamp} stderr F two\n{stamp} stdout P three\n", after)


def test_contract_errors_and_idempotency(house: Any) -> None:
    async def work(h: House) -> None:
        spec = h.spec("sleep", "60")
        await (await h.up(spec)).close()
        with pytest.raises(AlreadyExists):
            await h.runtime.create(spec, h.rootfs, Sandbox(mode="empty"), ContainerIO())
        with pytest.raises(Conflict):
            await h.runtime.start(spec.id)
        with pytest.raises(InvalidArgument):
            await h.runtime.create(h.spec("x"), RootFS(image="x"), Sandbox(mode="empty"), ContainerIO())
        with pytest.raises(InvalidArgument):
            await h.runtime.state("../etc")
        await h.runtime.delete(spec.id)
        await h.runtime.delete(spec.id)
        with pytest.raises(NotFound):
            await h.runtime.wait(spec.id)

    house(work)
