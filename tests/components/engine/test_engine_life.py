"""The life of containers, on host processes: what each request does, and what it leaves."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from engine_doubles import ROOT
from engine_house import drain, house, run, until

from moby_py.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, NotModified, RuntimeFailed
from moby_py.model import AttachOptions, Change, LogOptions
from moby_py.veto import Veto


def refused(error: type[Exception], text: str) -> Any:
    return pytest.raises(error, match=f"^{re.escape(text)}$")


def test_run_to_the_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("sh", "-c", "echo out; echo err >&2; exit 3", name="job")
            end = asyncio.ensure_future(home.engine.wait("job", "next-exit"))
            await asyncio.sleep(0)
            assert await home.output(id) == (b"out\n", b"err\n")
            assert await end == (3, "")
            shown = await home.engine.inspect(id[:10])
            assert (shown.state.status, shown.state.exit_code, shown.path) == ("exited", 3, "sh")
            lines = [(line.stream, line.text) async for line in home.engine.logs(id, LogOptions())]
            assert sorted(lines) == [(1, b"out\n"), (2, b"err\n")]
            assert await home.happened(id) == ["create", "attach", "start", "die"]
            await home.engine.remove(id)
            with refused(NotFound, "No such container: job"):
                await home.engine.inspect("job")
            left = [p for p in (tmp_path / "run").rglob("*") if id in p.name]
            assert left == []
            assert not home.store.writable(id).exists()

    run(work)


def test_names(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", name="/web")
            with refused(
                AlreadyExists,
                f'Conflict. The container name "/web" is already in use by container '
                f'"{id}". You have to remove (or rename) that container to be able to reuse that name.',
            ):
                await home.create("true", name="web")
            with refused(
                InvalidArgument, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            ):
                await home.create("true", name="a b")
            other = await home.create("true")
            name = (await home.engine.inspect(other)).name
            assert re.fullmatch("[a-z]+_[a-z]+", name)
            await home.engine.rename(name, "db")
            assert (await home.engine.inspect("db")).id == other
            with pytest.raises(AlreadyExists):
                await home.engine.rename("db", "web")
            assert await home.happened(other) == ["create", "rename"]

    run(work)


def test_no_image(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            for ref, shown in (("nope", "nope:latest"), ("nope:1", "nope:1"), ("sha256:" + "0" * 64, None)):
                with refused(NotFound, f"No such image: {shown or ref}"):
                    await home.engine.create({"Image": ref, "Cmd": ["x"]})
            with refused(InvalidArgument, "invalid reference format"):
                await home.engine.create({"Image": "a:b:c", "Cmd": ["x"]})
            text = (
                "image with reference busybox was found but does not provide "
                "the specified platform (linux/arm64)"
            )
            with refused(NotFound, text):
                await home.engine.create({"Image": "busybox", "Cmd": ["x"]}, platform="linux/arm64")
            image = home.store.images["docker.io/library/busybox:latest"][0].id
            made = await home.engine.create({"Image": image[7:19], "Cmd": ["x"]})
            assert (await home.engine.inspect(made.id)).image_id == image

    run(work)


def test_stop_grace_then_kill_and_signals(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            polite = await home.launch("sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.02; done")
            await asyncio.sleep(0.1)
            await home.engine.stop(polite)
            assert (await home.engine.inspect(polite)).state.exit_code == 7
            stubborn = await home.launch("sh", "-c", "trap '' TERM; while :; do sleep 0.02; done")
            await asyncio.sleep(0.1)
            await home.engine.stop(stubborn, timeout=0)
            assert (await home.engine.inspect(stubborn)).state.exit_code == 137
            assert await home.happened(stubborn) == ["create", "start", "kill", "kill", "die", "stop"]
            with pytest.raises(NotModified):
                await home.engine.stop(stubborn)
            with refused(
                Conflict,
                f"cannot kill container: {(await home.engine.inspect(polite)).name}: "
                f"container {polite} is not running",
            ):
                await home.engine.kill(polite)
            hup = await home.launch("sleep", "9")
            await home.engine.kill(hup, "HUP")
            assert await home.engine.wait(hup) == (129, "")

    run(work)


def test_pause_start_twice_and_remove_rules(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", name="web")
            with pytest.raises(NotModified):
                await home.engine.start(id)
            with pytest.raises(Conflict, match=r"stop the container before removing or force remove$"):
                await home.engine.remove(id)
            await home.engine.pause(id)
            assert await home.status(id) == "paused"
            with pytest.raises(Conflict, match=r"unpause the container before exec$"):
                await home.engine.exec_create(id, {"Cmd": ["true"]})
            await home.engine.unpause(id)
            await home.engine.pause(id)
            await home.engine.remove(id, force=True)
            assert home.runtime.tasks == {}

    run(work)


def test_attach_before_start_feeds_stdin_and_misses_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("cat", OpenStdin=True, StdinOnce=True)
            streams = await home.engine.attach(id, AttachOptions(stdin=True))
            writer = asyncio.create_task(streams.write(b"before the start"))
            await asyncio.sleep(0.01)
            assert not writer.done()
            await home.engine.start(id)
            await writer
            await streams.close_stdin()
            assert (await drain(streams))[0] == b"before the start"
            again = await home.engine.attach(id, AttachOptions(logs=True, stream=False))
            assert (await drain(again))[0] == b"before the start"

    run(work)


def test_a_failed_start_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    cases = (
        ('exec: "nope": executable file not found in $PATH', 127),
        ('exec: "/etc": permission denied', 126),
        ("the moon is in the wrong phase", 128),
    )

    async def work() -> None:
        async with house(tmp_path) as home:
            for stage in ("fail", "fail_start"):
                for text, code in cases:
                    id = await home.create("true")
                    waiting = await home.engine.attach(id, AttachOptions())
                    setattr(home.runtime, stage, text)
                    with refused(RuntimeFailed, text):
                        await home.engine.start(id)
                    assert await drain(waiting) == (b"", b"")
                    shown = await home.engine.inspect(id)
                    assert (shown.state.status, shown.state.exit_code, shown.state.error) == (
                        "created",
                        code,
                        text,
                    )
                    assert home.runtime.tasks == {}
                    assert [p for p in (tmp_path / "run").rglob("*") if id in p.name] == []
                    await home.engine.start(id)  # and it can be started then
                    assert (await home.engine.wait(id))[0] == 0

    run(work)


def test_rm_removes_after_the_end_and_after_a_failed_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("sh", "-c", "exit 4", host={"AutoRemove": True}, Volumes={"/anon": {}})
            gone = asyncio.ensure_future(home.engine.wait(id, "removed"))
            await asyncio.sleep(0)
            await home.engine.start(id)
            assert await gone == (4, "")
            await until(lambda: not home.engine._volumes.all())
            id = await home.create("true", host={"AutoRemove": True})
            gone = asyncio.ensure_future(home.engine.wait(id, "removed"))
            await asyncio.sleep(0)
            home.runtime.fail = "no"
            with pytest.raises(RuntimeFailed):
                await home.engine.start(id)
            assert await gone == (128, "no")
            assert await home.engine.list(all=True) == []

    run(work)


def test_exec(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", Env=["A=1"])
            exec_id = await home.engine.exec_create(
                id,
                {
                    "Cmd": ["sh", "-c", "echo $A; cat; exit 5"],
                    "AttachStdin": True,
                    "AttachStdout": True,
                    "AttachStderr": True,
                },
            )
            streams = await home.engine.exec_start(exec_id, detach=False)
            assert streams is not None
            await streams.write(b"in")
            await streams.close_stdin()
            assert await drain(streams) == (b"1\nin", b"")
            await until(lambda: home.engine._execs.inspect(exec_id).exit_code == 5)
            with refused(Conflict, f"Error: Exec command {exec_id} has already run"):
                await home.engine.exec_start(exec_id, detach=True)
            missing = await home.engine.exec_create(id, {"Cmd": ["no-such-program"]})
            with pytest.raises(RuntimeFailed, match="executable file not found"):
                await home.engine.exec_start(missing, detach=True)
            assert (await home.engine.exec_inspect(missing)).exit_code == 127
            with refused(NotFound, "No such exec instance: zzz"):
                await home.engine.exec_inspect("zzz")
            actions = await home.happened(id)
            assert actions[2] == "exec_create: sh -c echo $A; cat; exit 5"
            assert actions.count("exec_die") == 2
            await home.engine.remove(id, force=True)

    run(work)


def test_on_failure_restarts_and_then_gives_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            policy = {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
            id = await home.launch("sh", "-c", "exit 9", host=policy)
            await until(lambda: home.engine._core.get(id).record.restart_count == 2)

            async def down() -> bool:
                return await home.status(id) == "exited"

            await until(down)
            assert (await home.happened(id)).count("die") == 3

    run(work)


def test_stop_ends_a_restarting_container(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("false", host={"RestartPolicy": {"Name": "always"}})
            await until(lambda: home.engine._core.get(id).record.restart_count >= 2)

            async def waits() -> bool:
                return await home.status(id) == "restarting"

            await until(waits)
            await home.engine.stop(id)
            assert await home.status(id) == "exited"
            count = home.engine._core.get(id).record.restart_count
            await asyncio.sleep(0.5)
            assert home.engine._core.get(id).record.restart_count == count

    run(work)


def test_restart_keeps_files_and_counts_anew(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60", host={"AutoRemove": True})
            home.store.writable(id).joinpath("kept").write_text("x")
            pid = (await home.engine.inspect(id)).state.pid
            await home.engine.restart(id, timeout=0)
            shown = await home.engine.inspect(id)
            assert shown.state.pid != pid
            assert home.store.writable(id).joinpath("kept").exists()
            await home.engine.remove(id, force=True)

    run(work)


class _Policy:
    """A plugin's hook: it may change or refuse what is about to run."""

    async def container_spec(self, spec: Any) -> Any:
        from dataclasses import replace

        if "forbidden" in spec.labels:
            raise Veto("not on a Friday")
        return replace(spec, process=replace(spec.process, env=(*spec.process.env, "HOOK=1")))

    def event(self, event: Any) -> None:
        pass


def test_a_hook_changes_or_refuses(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path, hooks=_Policy()) as home:
            id = await home.create("sh", "-c", "echo $HOOK")
            assert (await home.output(id))[0] == b"1\n"
            id = await home.create("true", Labels={"forbidden": ""})
            with refused(Veto, "not on a Friday"):
                await home.engine.start(id)
            assert (await home.engine.inspect(id)).state.error == "not on a Friday"

    run(work)


def test_list_filters(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            first = await home.create("true", name="alpha", Labels={"tier": "web", "a": "b"})
            second = await home.launch("sleep", "60", name="beta")
            third = await home.create("sh", "-c", "exit 2", name="gamma")
            await home.output(third)

            async def ids(**filters: list[str]) -> list[str]:
                return [c.id for c in await home.engine.list(all=True, filters=filters)]

            assert await ids() == [third, second, first]
            assert [c.id for c in await home.engine.list()] == [second]
            assert await ids(name=["^/al"]) == [first]
            assert await ids(label=["tier=web"]) == await ids(label=["tier=web", "a"]) == [first]
            assert await ids(label=["tier=web", "a=c"]) == []  # every label: Compose counts on it
            assert await ids(status=["exited", "created"]) == [third, first]
            assert await ids(exited=["2"]) == [third]
            assert await ids(before=["beta"]) == [first]
            assert await ids(since=["alpha"], ancestor=["busybox"]) == [third, second]
            assert await ids(ancestor=["nothing"]) == []
            with refused(InvalidArgument, "invalid filter 'colour'"):
                await ids(colour=["red"])
            with refused(InvalidArgument, "invalid filter 'status=happy'"):
                await ids(status=["happy"])
            await home.engine.remove("beta", force=True)

    run(work)


def test_update(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60")
            await home.engine.update(id, {"Memory": 64 << 20, "RestartPolicy": {"Name": "always"}})
            assert home.runtime.limits[id].memory == 64 << 20
            host = (await home.engine.inspect(id)).intent["HostConfig"]
            assert (host["Memory"], host["RestartPolicy"]["Name"]) == (64 << 20, "always")
            with refused(InvalidArgument, "Minimum memory limit allowed is 6MB"):
                await home.engine.update(id, {"Memory": 5})
            await home.engine.remove(id, force=True)

    run(work)


def test_top_of_proc_and_of_ps(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.launch("sleep", "60")
            pid = str((await home.engine.inspect(id)).state.pid)
            table = await home.engine.top(id)
            assert table.titles == ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
            await until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep"))
            rows = (await home.engine.top(id)).rows
            assert [(row[1], row[7]) for row in rows] == [(pid, "sleep 60")]
            assert (await home.engine.top(id, "-o pid,comm")).rows == ((pid, "sleep"),)
            with refused(InvalidArgument, "Couldn't find PID field in ps output"):
                await home.engine.top(id, "-o comm")
            await home.engine.remove(id, force=True)

    run(work)


def test_changes_hide_what_the_engine_made(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("true", host={"Tmpfs": {"/scratch": ""}})
            home.store.diffs[id] = [
                Change(path=path, kind=kind)
                for path, kind in (
                    ("/etc", 0),
                    ("/etc/hosts", 1),
                    ("/etc/resolv.conf", 1),
                    ("/dev", 0),
                    ("/dev/pts", 1),
                    ("/scratch", 1),
                    ("/tmp", 0),
                    ("/tmp/mine", 1),
                )
            ]
            assert [(c.path, c.kind) for c in await home.engine.changes(id)] == [
                ("/tmp", 0),
                ("/tmp/mine", 1),
            ]
            home.store.diffs[id] = [Change(path="/etc", kind=0), Change(path="/etc/hosts", kind=0)]
            assert [c.path for c in await home.engine.changes(id)] == ["/etc", "/etc/hosts"]

    run(work)


def test_commit_takes_the_config_along(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            id = await home.create("sh", "-c", "exit 0", Env=["A=1"], Labels={"x": "y"})
            await home.output(id)
            await home.engine.commit(id, reference="mine:1", config={"Cmd": ["new"], "Env": ["B=2"]})
            config = home.store.committed[0][1]
            assert config["Cmd"] == ["new"]
            assert config["Env"] == ["A=1", "FROM=image", "B=2"]
            assert config["Labels"] == {"x": "y"}
            assert "HostConfig" not in config

    run(work)


def test_runtimes(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            with refused(InvalidArgument, "unknown or invalid runtime name: kata"):
                await home.create("true", host={"Runtime": "kata"})
            facts = await home.engine.info()
            assert (facts["DefaultRuntime"], facts["Containers"], facts["Driver"]) == (
                "hostproc",
                0,
                "folder",
            )

    run(work)


def test_events_past_and_live(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            seen: list[str] = []

            async def listen() -> None:
                async for event in home.engine.events(
                    filters={"type": ["container"], "event": ["start", "die"]}
                ):
                    seen.append(f"{event.action} {event.attributes.get('exitCode', '')}")
                    if event.action == "die":
                        return

            listener = asyncio.create_task(listen())
            await asyncio.sleep(0)
            id = await home.create("sh", "-c", "exit 6", name="ev", Labels={"l": "v"})
            await home.output(id)
            await listener
            assert seen == ["start ", "die 6"]
            assert await home.happened("ev", event=["die"], label=["l=v"]) == ["die"]
            with refused(InvalidArgument, "invalid filter 'planet'"):
                async for _ in home.engine.events(filters={"planet": ["x"]}):
                    pass

    run(work)


def test_namespaces_of_others_need_them_running(tmp_path: Path) -> None:
    async def work() -> None:
        async with house(tmp_path) as home:
            home.runtime.__class__.features |= {"join-namespaces"}
            try:
                donor = await home.create("sleep", "60", name="donor")
                for host, text in (
                    ({"PidMode": "container:donor"}, f"cannot join PID of a non running container: {donor}"),
                    (
                        {"NetworkMode": "container:donor"},
                        f"cannot join network of a non running container: {donor}",
                    ),
                ):
                    id = await home.create("true", host=host)
                    with refused(Conflict, text):
                        await home.engine.start(id)
                await home.engine.start(donor)
                pid = (await home.engine.inspect(donor)).state.pid
                id = await home.launch(
                    "sleep", "60", host={"PidMode": "container:donor", "NetworkMode": "container:donor"}
                )
                assert home.runtime.specs[id].namespaces["pid"] == f"/proc/{pid}/ns/pid"
                assert home.runtime.sandboxes[id].path == f"/proc/{pid}/ns/net"
                await home.engine.remove(id, force=True)
                await home.engine.remove(donor, force=True)
            finally:
                home.runtime.__class__.features -= {"join-namespaces"}

    run(work)


@pytest.mark.root
def test_the_root_is_mounted_while_it_runs_and_the_workdir_made(tmp_path: Path) -> None:
    assert ROOT

    async def work() -> None:
        from moby_components.common.mounts import mounted_under

        async with house(tmp_path) as home:
            (home.root / "base/loop").symlink_to("/../../../../tmp")
            id = await home.launch("sleep", "60", WorkingDir="/made/here")
            assert mounted_under(home.run / "rootfs") == [str(home.run / "rootfs" / id)]
            assert (home.store.writable(id) / "made/here").is_dir()
            hosts = {m.target: m for m in home.runtime.specs[id].mounts}
            assert home.runtime.seen[id]["/etc/hostname"].decode().strip() == id[:12]
            assert hosts["/dev/shm"].options[-1] == f"size={64 << 20}"
            await home.engine.remove(id, force=True)
            assert mounted_under(home.run) == []

    run(work)
