"""The container's life through the stock docker client: health, init, limits, top, wait, events, what
takes room and is pruned, logs with their options. One platform with every runtime, network none.
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.api import Client
from support.archive import BUSYBOX, busybox_archive
from support.platform import TestPlatform, platform

pytestmark = [pytest.mark.root, pytest.mark.timeout(240)]
RUNTIMES = ("crun", "runc", "bubblewrap", "runsc")
BLUEPRINT = """\
blueprint: 1
name: life
components: {runtime: [crun, runc, bubblewrap, runsc], image_store: overlay, network: none}
"""


@pytest.fixture(scope="module")
def moby(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestPlatform]:
    with platform(BLUEPRINT) as running:
        running("load", "-i", str(busybox_archive(tmp_path_factory.mktemp("archive"))))
        yield running


@pytest.fixture
def name(moby: TestPlatform) -> Iterator[str]:
    name = f"c{secrets.token_hex(4)}"
    yield name
    moby.docker("rm", "-f", "-v", name, check=False)


def inspect(moby: TestPlatform, name: str) -> Any:
    return json.loads(moby.docker("inspect", name).stdout)[0]


def until(check: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def refused(moby: TestPlatform, *args: str) -> str:
    done = moby.docker(*args, check=False)
    assert done.returncode != 0, done.stdout
    return str(done.stderr).strip().removeprefix("Error response from daemon: ")


# -- health ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_health(moby: TestPlatform, name: str, runtime: str) -> None:
    begin = f"{time.time():.6f}"
    moby.docker(
        *("run", "-d", "--runtime", runtime, "--name", name),
        *("--health-cmd", "echo look; test -e /well", "--health-interval", "300ms", "--health-retries", "2"),
        *(BUSYBOX, "sleep", "600"),
    )
    status = "{{.State.Health.Status}}"
    assert moby.docker("inspect", "-f", status, name).stdout == "starting\n"
    assert "(health: starting)" in moby.docker("ps", "--filter", f"name={name}").stdout
    until(lambda: moby.docker("inspect", "-f", status, name).stdout == "unhealthy\n")
    moby.docker("exec", name, "touch", "/well")
    until(lambda: moby.docker("inspect", "-f", status, name).stdout == "healthy\n")
    assert "(healthy)" in moby.docker("ps", "--filter", f"name={name}").stdout
    assert moby.docker("ps", "-q", "--filter", "health=healthy", "--filter", f"name={name}").stdout
    assert not moby.docker("ps", "-q", "--filter", "health=unhealthy", "--filter", f"name={name}").stdout
    newest = inspect(moby, name)["State"]["Health"]["Log"][-1]
    assert (newest["ExitCode"], newest["Output"]) == (0, "look\n")
    moby.kill_daemon()
    moby.up()
    assert moby.docker("inspect", "-f", status, name).stdout == "healthy\n"
    moby.docker("exec", name, "rm", "/well")
    until(lambda: moby.docker("inspect", "-f", status, name).stdout == "unhealthy\n")
    assert len(inspect(moby, name)["State"]["Health"]["Log"]) <= 5
    told = moby.docker(
        *("events", "--since", begin, "--until", f"{time.time():.6f}", "--format", "{{.Action}}"),
        *("--filter", f"container={name}", "--filter", "event=health_status"),
    ).stdout.splitlines()
    assert told == [f"health_status: {word}" for word in ("unhealthy", "healthy", "unhealthy")]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_probe_that_hangs_is_killed(moby: TestPlatform, name: str, runtime: str) -> None:
    number = 7000 + secrets.randbelow(900)
    moby.docker(
        *("run", "-d", "--runtime", runtime, "--name", name, "--health-cmd", f"echo so far; sleep {number}"),
        *("--health-interval", "10s", "--health-start-interval", "100ms", "--health-start-period", "100ms"),
        *("--health-timeout", "700ms", "--health-retries", "1", BUSYBOX, "sleep", "600"),
    )
    until(lambda: inspect(moby, name)["State"]["Health"]["Status"] == "unhealthy")
    found = inspect(moby, name)["State"]["Health"]["Log"][0]
    assert found["ExitCode"] == -1
    assert found["Output"] == "Health check exceeded timeout (700ms): so far\n"
    until(lambda: f"sleep {number}" not in moby.docker("top", name).stdout)


def test_what_docker_refuses_of_a_health_check(moby: TestPlatform) -> None:
    body = {"Image": BUSYBOX, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 10}}
    client = Client(moby.socket)
    try:
        with pytest.raises(Exception, match="Interval in Healthcheck cannot be less than 1ms"):
            client.call("POST", "/containers/create", body)
    finally:
        client.close()


# -- init, limits, processes -----------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_init_passes_signals_on_and_reaps(moby: TestPlatform, name: str, runtime: str) -> None:
    # Its orphans become the init's: a `sleep` as first process would keep them as zombies for ever.
    script = "trap 'exit 9' TERM; while :; do sleep 0.1; done"
    moby.docker("run", "-d", "--init", "--runtime", runtime, "--name", name, BUSYBOX, "sh", "-c", script)
    assert moby.docker("exec", name, "cat", "/proc/1/comm").stdout.strip() in ("docker-init", "init")
    moby.docker("exec", name, "sh", "-c", "for n in 1 2 3 4; do (sleep 0.2 &) ; done")

    def zombies() -> int:
        return sum(" Z " in f" {line} " for line in moby.docker("exec", name, "ps").stdout.splitlines())

    time.sleep(0.5)
    until(lambda: zombies() == 0)
    started = time.monotonic()
    moby.docker("stop", name)
    assert time.monotonic() - started < 8
    assert inspect(moby, name)["State"]["ExitCode"] == 9


def limit(moby: TestPlatform, name: str, controller: str, file: str) -> int:
    """A number in the container's cgroup, as the host sees it."""
    pid = inspect(moby, name)["State"]["Pid"]
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return int(Path("/sys/fs/cgroup", controller, path.lstrip("/"), file).read_text())
    raise AssertionError(f"no cgroup of {controller}")


@pytest.mark.skipif(not Path("/sys/fs/cgroup/memory").is_dir(), reason="the numbers are read from cgroups v1")
@pytest.mark.parametrize("runtime", ["crun", "runc", "bubblewrap"])
def test_update_of_a_live_container(moby: TestPlatform, name: str, runtime: str) -> None:
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=24 2>/dev/null; echo filled; sleep 600"
    moby.docker("run", "-d", "--runtime", runtime, "--name", name, "-m", "96m", BUSYBOX, "sh", "-c", script)
    until(lambda: "filled" in moby.docker("logs", name).stdout)
    moby.docker(
        *("update", "-m", "64m", "--memory-swap", "128m", "--cpus", "0.5", "--pids-limit", "77"),
        *("--cpu-shares", "512", "--restart", "on-failure:3", name),
    )

    def numbers() -> tuple[int, ...]:
        return (
            limit(moby, name, "memory", "memory.limit_in_bytes"),
            limit(moby, name, "memory", "memory.memsw.limit_in_bytes"),
            limit(moby, name, "cpu", "cpu.cfs_quota_us"),
            limit(moby, name, "cpu", "cpu.shares"),
            limit(moby, name, "pids", "pids.max"),
        )

    wanted = (64 << 20, 128 << 20, 50_000, 512, 77)
    assert numbers() == wanted
    id = inspect(moby, name)["Id"]
    assert refused(moby, "update", "-m", "256m", name) == (
        f"Cannot update container {id}: Memory limit should be smaller than already set memoryswap limit, "
        "update the memoryswap at the same time"
    )
    assert refused(moby, "update", "--memory-swap", "32m", name) == (
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    )
    assert refused(moby, "update", "--cpu-quota", "20000", name) == (
        f"Cannot update container {id}: Conflicting options: CPU Quota cannot be updated as NanoCPUs has "
        "already been set"
    )
    assert refused(moby, "update", "-m", "1m", name) == "Minimum memory limit allowed is 6MB"
    # 24 MB are in use, and there is no swap to put them into.
    assert refused(moby, "update", "-m", "8m", "--memory-swap", "8m", name)
    assert numbers() == wanted
    shown = inspect(moby, name)["HostConfig"]
    assert (shown["Memory"], shown["MemorySwap"], shown["NanoCpus"]) == (64 << 20, 128 << 20, 500_000_000)
    assert shown["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    moby.docker("restart", "-t", "0", name)
    assert numbers() == wanted
    assert "pids-limit" in moby.docker("update", "--help").stdout
    moby.docker("update", "--pids-limit", "-1", name)
    assert inspect(moby, name)["HostConfig"]["PidsLimit"] == -1


def test_update_where_the_runtime_cannot(moby: TestPlatform, name: str) -> None:
    moby.docker("run", "-d", "--runtime", "runsc", "--name", name, BUSYBOX, "sleep", "600")
    assert refused(moby, "update", "-m", "64m", name).startswith(
        "runtime 'runsc' does not support changing limits of a running container - "
        "it lacks the feature 'update'"
    )
    moby.docker("update", "--restart", "always", name)
    assert inspect(moby, name)["HostConfig"]["RestartPolicy"]["Name"] == "always"


@pytest.mark.parametrize("runtime", ["crun", "runc", "bubblewrap"])
def test_out_of_memory_is_told_when_it_happens(moby: TestPlatform, name: str, runtime: str) -> None:
    begin = f"{time.time():.6f}"
    # The child is killed, its parent lives on: without an event nobody would know.
    script = "sh -c 'x=a; while :; do x=$x$x; done'; echo survived $?; sleep 600"
    limits = ("-m", "16m", "--memory-swap", "16m")
    moby.docker("run", "-d", "--runtime", runtime, "--name", name, *limits, BUSYBOX, "sh", "-c", script)
    until(lambda: "survived 137" in moby.docker("logs", name).stdout)

    def told() -> list[str]:
        span = ("--since", begin, "--until", f"{time.time():.6f}")
        only = ("--filter", f"container={name}", "--filter", "event=oom", "--format", "{{.Action}}")
        return str(moby.docker("events", *span, *only).stdout).split()

    until(lambda: told() == ["oom"])
    state = inspect(moby, name)["State"]
    assert (state["Status"], state["OOMKilled"]) == ("running", True)
    moby.docker("stop", "-t", "0", name)
    assert told() == ["oom"]
    moby.docker("start", name)
    until(lambda: told() == ["oom", "oom"])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_pids_of_execs(moby: TestPlatform, name: str, runtime: str) -> None:
    moby.docker("run", "-d", "--runtime", runtime, "--name", name, BUSYBOX, "sleep", "600")
    moby.docker("exec", "-d", name, "sleep", "555")
    (exec_id,) = inspect(moby, name)["ExecIDs"]
    client = Client(moby.socket)
    try:
        found = client.call("GET", f"/exec/{exec_id}/json")
    finally:
        client.close()
    assert found["Running"] is True
    if runtime == "runsc":  # a process of the sandbox's kernel: the host has no pid for it
        assert found["Pid"] == 0
    else:
        line, deadline = Path(f"/proc/{found['Pid']}/cmdline"), time.monotonic() + 5
        while line.read_bytes() != b"sleep\x00555\x00":  # it may just be on the way through execve(2)
            assert time.monotonic() < deadline


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_top(moby: TestPlatform, name: str, runtime: str) -> None:
    moby.docker("run", "-d", "--runtime", runtime, "--name", name, BUSYBOX, "sleep", "600")
    lines = moby.docker("top", name).stdout.splitlines()
    assert {"UID", "PID", "PPID", "CMD"} <= set(lines[0].split())
    assert "sleep" in lines[-1]
    if runtime == "runsc":
        return
    pid = inspect(moby, name)["State"]["Pid"]
    assert moby.docker("top", name, "-eo", "pid,comm").stdout.split() == ["PID", "COMMAND", str(pid), "sleep"]
    assert refused(moby, "top", name, "-eo", "comm") == "Couldn't find PID field in ps output"
    assert refused(moby, "top", name, "-o", "user=PID,pid") == 'specifying "user=PID,pid" is not allowed'
    moby.docker("stop", "-t", "0", name)
    id = inspect(moby, name)["Id"]
    assert refused(moby, "top", name) == f"container {id} is not running"


def test_wait_for_each_condition_by_many(moby: TestPlatform, name: str) -> None:
    moby.docker(
        "run", "-d", "--name", name, BUSYBOX, "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"
    )
    conditions = ("not-running", "next-exit", "removed", "removed")
    asked = [_asks(moby, name, condition) for condition in conditions]
    waiting = [
        subprocess.Popen(["docker", "wait", name], stdout=subprocess.PIPE, env=moby.env) for _ in range(3)
    ]
    gone = asked.pop()
    gone.close()  # a client that does not wait any longer takes nobody with it
    left = waiting.pop()
    left.kill()
    left.communicate()
    time.sleep(0.5)
    moby.docker("stop", name)
    assert [process.communicate(timeout=20)[0] for process in waiting] == [b"3\n", b"3\n"]
    for client in asked[:2]:
        assert _answer(client) == {"StatusCode": 3}
    moby.docker("rm", name)
    assert _answer(asked[2]) == {"StatusCode": 3}
    for client in asked:
        client.close()


def _asks(moby: TestPlatform, name: str, condition: str) -> Client:
    client = Client(moby.socket)
    client._connection.request("POST", f"/containers/{name}/wait?condition={condition}")
    return client


def _answer(client: Client) -> Any:
    with client._connection.getresponse() as answer:
        return json.loads(answer.read())


# -- events ----------------------------------------------------------------------------------------


def test_events_of_a_whole_life(moby: TestPlatform, name: str) -> None:
    begin = f"{time.time():.6f}"
    new = f"{name}x"
    moby.docker(
        "create", "--name", name, "-l", "tier=front", "-l", "n=1", "-v", f"{name}:/v", BUSYBOX, "sleep", "600"
    )
    moby.docker("start", name)
    moby.docker("exec", name, "true")
    moby.docker("pause", name)
    moby.docker("unpause", name)
    moby.docker("top", name)
    moby.docker("update", "--cpu-shares", "300", name)
    moby.docker("rename", name, new)
    moby.docker("restart", "-t", "0", new)
    moby.docker("kill", new)
    moby.docker("rm", new)
    moby.docker("volume", "rm", name)
    moby.docker("container", "prune", "-f")
    moby.docker("volume", "prune", "-f")
    moby.docker("image", "prune", "-f")
    moby.docker("network", "prune", "-f")
    end = f"{time.time():.6f}"

    def told(*filters: str, form: str = "{{.Type}} {{.Action}}") -> list[str]:
        wanted = [word for text in filters for word in ("--filter", text)]
        return moby.docker(
            "events", "--since", begin, "--until", end, "--format", form, *wanted
        ).stdout.splitlines()

    actions = [line.removeprefix("container ") for line in told("type=container", "label=tier=front")]
    # Stopped with no time to spare: whether it still got its SIGTERM before the SIGKILL is a race.
    once = [action for action, before in zip(actions, ["", *actions], strict=False) if action != before]
    assert once == [
        *("create", "start", "exec_create: true", "exec_start: true", "exec_die", "pause", "unpause", "top"),
        *("update", "rename", "kill", "die", "stop", "start", "restart", "kill", "die", "destroy"),
    ]
    assert (
        told("type=volume", "event=create", "event=mount", "event=unmount", "event=destroy")[0]
        == "volume create"
    )
    prunes = told("event=prune", form="{{.Type}} {{.Actor.Attributes.reclaimed}}")
    assert [line.split()[0] for line in prunes] == ["container", "volume", "image", "network"]
    assert len(told("label=tier=front", "label=n=1")) == len(actions)
    assert told("label=tier=front", "label=n=2") == []
    assert told("label=tier=front", "scope=swarm") == []
    assert len(told("label=tier=front", f"image={BUSYBOX}")) == len(actions)
    assert told("label=tier=front", "image=other") == []
    assert told("daemon=nobody") == []
    assert set(told(f"container={new}", "event=kill")) == {"container kill"}
    assert [set(line.split()) for line in told("event=rename", form="{{json .Actor.Attributes}}")]
    renamed = json.loads(told("event=rename", form="{{json .Actor.Attributes}}")[-1])
    assert (renamed["oldName"], renamed["name"]) == (f"/{name}", new)
    died = json.loads(told("event=die", f"container={new}", form="{{json .Actor.Attributes}}")[-1])
    assert (died["exitCode"], died["tier"]) == ("137", "front")


def test_since_and_until_in_every_form(moby: TestPlatform, name: str) -> None:
    moby.docker("create", "--name", name, BUSYBOX, "true")
    made = int(inspect(moby, name)["Created"][17:19])
    stamp = inspect(moby, name)["Created"]
    forms = (
        "10m",
        "1h30m",
        f"{time.time() - 60:.0f}",
        f"{time.time() - 60:.6f}",
        stamp[:17] + f"{made:02d}Z",
    )
    for since in forms:
        found = moby.docker(
            *("events", "--since", since, "--until", f"{time.time():.6f}", "--filter", f"container={name}"),
            *("--format", "{{.Action}}"),
        )
        assert found.stdout == "create\n", since
    now = f"{time.time():.6f}"
    assert moby.docker("events", "--since", now, "--until", now).stdout == ""
    told = refused(moby, "events", "--since", "1700000005", "--until", "1700000001")
    assert told == "`since` time (1700000005) cannot be after `until` time (1700000001)"


# -- room ------------------------------------------------------------------------------------------


def test_df_and_prunes(moby: TestPlatform, name: str, tmp_path: Path) -> None:
    moby.docker("container", "prune", "-f")
    moby.docker("run", "--name", name, BUSYBOX, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=5")
    moby.docker("commit", name, f"{name}:big")
    labels = ("-l", "keep=1")
    moby.docker(
        "run", "--name", f"{name}k", *labels, BUSYBOX, "dd", "if=/dev/zero", "of=/f", "bs=1M", "count=2"
    )
    moby.docker("run", "-d", "--name", f"{name}r", "-v", f"{name}:/v", f"{name}:big", "sleep", "600")
    moby.docker("exec", f"{name}r", "dd", "if=/dev/zero", "of=/v/f", "bs=1M", "count=3")
    moby.docker("volume", "create", "--label", "k=v", f"{name}-spare")

    rows = {
        row["Type"]: row
        for row in map(json.loads, moby.docker("system", "df", "--format", "json").stdout.splitlines())
    }
    assert (rows["Images"]["TotalCount"], rows["Images"]["Active"]) == ("2", "2")
    # Every image is in use: nothing of what they have for themselves can be had back.
    base = int(moby.docker("image", "inspect", "-f", "{{.Size}}", BUSYBOX).stdout)
    assert rows["Images"]["Size"] == human(base + (5 << 20))
    assert (rows["Containers"]["TotalCount"], rows["Containers"]["Active"]) == ("3", "1")
    assert rows["Containers"]["Size"] == human(7 << 20)
    assert (rows["Local Volumes"]["TotalCount"], rows["Local Volumes"]["Active"]) == ("2", "1")
    assert rows["Local Volumes"]["Size"] == human(3 << 20)

    client = Client(moby.socket)
    try:
        usage = client.call("GET", "/system/df")
        only = client.call("GET", "/system/df?type=volume")
    finally:
        client.close()
    images = {(image["RepoTags"] or [""])[0]: image for image in usage["Images"]}
    assert (images[BUSYBOX]["SharedSize"], images[BUSYBOX]["Size"]) == (base, base)
    big = images[f"{name}:big"]
    assert (big["SharedSize"], big["Size"] - big["SharedSize"], big["Containers"]) == (base, 5 << 20, 1)
    assert usage["LayersSize"] == base + (5 << 20)
    sizes = {
        container["Names"][0]: (container["SizeRw"], container["SizeRootFs"])
        for container in usage["Containers"]
    }
    assert sizes[f"/{name}"] == (5 << 20, base + (5 << 20))
    assert sizes[f"/{name}r"] == (0, base + (5 << 20))
    assert only["Images"] == only["Containers"] == []
    assert {volume["Name"] for volume in only["Volumes"]} == {name, f"{name}-spare"}
    verbose = moby.docker("system", "df", "-v").stdout
    assert re.search(
        rf"^{name} +big .* {re.escape(human(base))} +{re.escape(human(5 << 20))} +1$", verbose, re.M
    ), verbose
    assert re.search(rf"^{name}-spare +0 +0B$", verbose, re.M), verbose

    assert (
        "Total reclaimed space: 0B" in moby.docker("container", "prune", "-f", "--filter", "until=1h").stdout
    )
    gone = moby.docker("container", "prune", "-f", "--filter", "label!=keep").stdout
    assert f"Total reclaimed space: {human(5 << 20)}" in gone
    assert moby.docker("ps", "-aq", "--filter", f"name={name}k").stdout
    gone = moby.docker("container", "prune", "-f", "--filter", "label=keep=1").stdout
    assert f"Total reclaimed space: {human(2 << 20)}" in gone
    assert refused(moby, "container", "prune", "-f", "--filter", "colour=red") == "invalid filter 'colour'"
    assert (
        moby.docker("volume", "prune", "-f", "-a", "--filter", "label=k=w").stdout
        == "Total reclaimed space: 0B\n"
    )
    assert f"{name}-spare\n" in moby.docker("volume", "prune", "-f", "-a", "--filter", "label=k=v").stdout
    moby.docker("rm", "-f", f"{name}r")
    freed = moby.docker("system", "prune", "-f", "-a", "--filter", f"label!={name}").stdout
    assert "Deleted Images" in freed
    # All of it is gone now: bring the module's image back.
    assert moby.docker("images", "-q").stdout == ""
    moby("load", "-i", str(busybox_archive(tmp_path)))
    moby.docker("volume", "rm", name)


def human(size: int) -> str:
    """As go-units' HumanSizeWithPrecision(4) writes it."""
    value, units = float(size), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while value >= 1000:
        value, unit = value / 1000, next(units)
    return f"{value:.4g}{unit}"


# -- logs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_logs_across_packed_files(moby: TestPlatform, name: str, runtime: str) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=100", "--log-opt", "compress=true")
    loop = "n=$((n+1)); echo line $n; [ $((n%100)) = 0 ] && sleep 0.02"
    script = f"n=0; while [ $n -lt 3000 ]; do {loop}; done; sleep 600"
    moby.docker("run", "-d", "--runtime", runtime, "--name", name, *options, BUSYBOX, "sh", "-c", script)
    follow = subprocess.Popen(["docker", "logs", "-f", name], stdout=subprocess.PIPE, env=moby.env, text=True)
    folder = Path(inspect(moby, name)["LogPath"]).parent
    everything = [f"line {number}" for number in range(1, 3001)]
    until(lambda: moby.docker("logs", "--tail", "1", name).stdout == "line 3000\n", 60)
    until(lambda: len(list(folder.glob("*.gz"))) >= 2)
    assert moby.docker("logs", name).stdout.splitlines() == everything
    assert moby.docker("logs", "--tail", "2500", name).stdout.splitlines() == everything[-2500:]
    stamped = moby.docker("logs", "-t", name).stdout.splitlines()
    at = stamped[1234].split()[0]
    since = moby.docker("logs", "--since", at, name).stdout.splitlines()
    assert since[-1] == "line 3000"
    assert set(since) == {line.split(" ", 1)[1] for line in stamped if line.split()[0] >= at}
    moby.kill_daemon()
    moby.up()
    assert moby.docker("logs", name).stdout.splitlines() == everything
    assert follow.stdout is not None
    seen = follow.communicate(timeout=20)[0].splitlines()
    assert seen == everything[: len(seen)]


def test_details_local_and_none(moby: TestPlatform, name: str) -> None:
    options = ("--log-opt", "labels=tier", "--log-opt", "env=E", "--log-opt", "tag={{.Name}}")
    more = ("--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=2m")
    moby.docker(
        "run", "--name", name, *options, *more, "-l", "tier=front", "-e", "E=a b", BUSYBOX, "echo", "hi"
    )
    assert moby.docker("logs", "--details", name).stdout == f"E=a+b,tag={name},tier=front hi\n"
    stamped = moby.docker("logs", "--details", "-t", name).stdout
    assert re.fullmatch(rf"\d{{4}}-\S+Z E=a\+b,tag={name},tier=front hi\n", stamped)
    assert moby("logs", "--details", name).stdout == f"E=a+b,tag={name},tier=front hi\n"
    assert inspect(moby, name)["HostConfig"]["LogConfig"]["Config"]["mode"] == "non-blocking"
    moby.docker("rm", name)
    moby.docker("run", "--name", name, "--log-driver", "local", BUSYBOX, "echo", "hi")
    assert moby.docker("logs", name).stdout == "hi\n"
    moby.docker("rm", name)
    moby.docker("run", "--name", name, "--log-driver", "none", BUSYBOX, "echo", "hi")
    assert refused(moby, "logs", name) == "configured logging driver does not support reading"
    text = "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
    assert (
        text
        in moby.docker("run", "--rm", "--log-opt", "max-buffer-size=1m", BUSYBOX, "true", check=False).stderr
    )
