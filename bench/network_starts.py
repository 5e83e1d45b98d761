"""Containers with a network and a published port: started one after another and twenty at once."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import peers
from bench.network_sides import IMAGE, NETWORK, Side, run, sides
from bench.timing import Comparison, alternate
from support.api import Client
from support.lab import lab

COUNT = 20
PORT = 20000
SLEEP = ("busybox", "sleep", "3600")


def measure(runs: int) -> Iterator[Comparison]:
    runs = runs or 5
    with sides("busybox") as both:
        calls = {f"{side.name} API": _api_single(side) for side in both}
        yield Comparison("create + start, one port, bridge, one after another", alternate(calls, 3 * runs))
        calls = {f"{side.name} API": _api_many(side) for side in both}
        title = f"{COUNT} x create + start at once, one port each, bridge"
        yield Comparison(title, alternate(calls, runs))
        with _podman(both[0]) as podman:
            commands = {f"{side.name}: docker run -d": _commands(side, _run(side)) for side in both}
            if podman:
                commands["podman run -d"] = podman
            yield Comparison(
                f"{COUNT} x `run -d -p 80` at once, whole command lines", alternate(commands, runs)
            )


def _create(client: Client, side: Side) -> str:
    host = {"NetworkMode": NETWORK, "PortBindings": {"80/tcp": [{"HostPort": ""}]}}
    if side.cgroup:
        host["CgroupParent"] = side.cgroup
    body = {"Image": IMAGE, "Cmd": list(SLEEP), "ExposedPorts": {"80/tcp": {}}, "HostConfig": host}
    id = str(client.call("POST", "/containers/create", body)["Id"])
    client.call("POST", f"/containers/{id}/start")
    return id


def _api_single(side: Side) -> Callable[[], float]:
    client = Client(side.socket)

    def call() -> float:
        began = time.perf_counter()
        id = _create(client, side)
        took = time.perf_counter() - began
        client.call("DELETE", f"/containers/{id}?force=1")
        return took

    return call


def _api_many(side: Side) -> Callable[[], float]:
    def call() -> float:
        clients = [Client(side.socket) for _ in range(COUNT)]
        try:
            with ThreadPoolExecutor(COUNT) as pool:
                began = time.perf_counter()
                ids = list(pool.map(lambda client: _create(client, side), clients))
                took = time.perf_counter() - began
        finally:
            for client in clients:
                client.close()
        _remove(side, ids)
        return took

    return call


def _remove(side: Side, ids: list[str]) -> None:
    side("rm", "-f", *ids)


def _run(side: Side) -> list[str]:
    where = ["--cgroup-parent", side.cgroup] if side.cgroup else []
    return [*side.command, "run", "-d", "--network", NETWORK, "-p", "80", *where, IMAGE, *SLEEP]


def _commands(side: Side, argv: list[str]) -> Callable[[], float]:
    def call() -> float:
        began = time.perf_counter()
        ids = together([argv] * COUNT, side.env or None)
        took = time.perf_counter() - began
        _remove(side, ids)
        return took

    return call


def together(commands: list[list[str]], env: dict[str, str] | None = None) -> list[str]:
    """What commands print that run at the same time."""
    started = [
        subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for argv in commands
    ]
    ids = []
    for child in started:
        out, said = child.communicate(timeout=300)
        if child.returncode:
            raise SystemExit(f"{child.args!r} ended with {child.returncode}: {said.decode()}")
        ids.append(out.decode().strip())
    return ids


@contextlib.contextmanager
def _podman(ours: Side) -> Iterator[Callable[[], float] | None]:
    """podman with crun and netavark on a host of its own, with the image of the others."""
    if not peers.have("podman"):
        print("  no podman: apt-get install podman")
        yield None
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-net-") as folder,
        lab() as here,
        peers.podman("crun") as plain,
    ):
        archive = Path(folder, "image.tar")
        ours("save", "-o", str(archive), IMAGE)
        argv = [
            *here.prefix,
            *plain,
            "--network-backend",
            "netavark",
            "--network-config-dir",
            f"{folder}/networks",
        ]
        run([*argv, "load", "-q", "-i", str(archive)])
        run([*argv, "network", "create", NETWORK])
        limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]  # its own need a capability
        start = [*argv, "run", "-d", "--network", NETWORK, *limits]
        # Two podmans that look for a free port at the same time find the same one: they are told theirs.
        commands = [[*start, "-p", f"{PORT + number}:80", IMAGE, *SLEEP] for number in range(COUNT)]

        def call() -> float:
            began = time.perf_counter()
            ids = together(commands)
            took = time.perf_counter() - began
            run([*argv, "rm", "-f", "-t", "0", *ids])
            return took

        try:
            yield call
        finally:
            subprocess.run([*argv, "rm", "-fa", "-t", "0"], capture_output=True, check=False)
