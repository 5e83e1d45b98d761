"""The small parts: routing, versions, filters of prune, changes, progress, batches, times."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from moby_components.api.docker.batch import batched
from moby_components.api.docker.changes import apply
from moby_components.api.docker.frames import frame
from moby_components.api.docker.progress import Relay
from moby_components.api.docker.pruning import Pruning
from moby_components.api.docker.router import Route, Router
from moby_components.api.docker.routes import ROUTES
from moby_components.api.docker.shapes.container import ports, status
from moby_components.api.docker.times import parameter, seconds, unix
from moby_components.api.docker.versions import split
from moby_py.detach_keys import DetachFilter, parse
from moby_py.errors import InvalidArgument
from moby_py.human import binary_size, duration, size
from moby_py.model import ContainerState, Health, Progress


async def nothing(_: Any) -> Any:
    return None


def test_router_prefers_fixed_paths_and_knows_names_with_slashes() -> None:
    router = Router(ROUTES)

    def found(method: str, path: str) -> tuple[str, dict[str, str]] | None:
        hit = router.find(method, path)
        return (hit[0].path, hit[1]) if hit else None

    assert found("GET", "/images/json") == ("/images/json", {})
    assert found("GET", "/images/a/b:1/json") == ("/images/{name:*}/json", {"name": "a/b:1"})
    assert found("GET", "/images/get") == ("/images/get", {})
    assert found("GET", "/images/x/get") == ("/images/{name:*}/get", {"name": "x"})
    assert found("DELETE", "/images/a/b/c") == ("/images/{name:*}", {"name": "a/b/c"})
    assert found("HEAD", "/_ping") == ("/_ping", {})
    assert found("GET", "/containers/a/b/json") is None
    assert found("GET", "containers") is None
    assert found("POST", "/containers/x/start") == ("/containers/{name}/start", {"name": "x"})


def test_no_route_is_listed_twice() -> None:
    keys = [(route.method, route.path) for route in ROUTES]
    assert len(keys) == len(set(keys))
    assert Router([Route("GET", "/a/{x}/b", nothing)]).find("GET", "/a/1/b") is not None


def test_versions() -> None:
    assert split("/v1.24/info") == ((1, 24), "/info")
    assert split("/info") == ((1, 47), "/info")
    assert split("/v1.41x/info") == ((1, 47), "/v1.41x/info")


@pytest.mark.parametrize(
    ("text", "keys"), [("", b"\x10\x11"), ("a", b"a"), ("ctrl-a,ctrl-]", b"\x01\x1d"), ("ctrl-@,x", b"\0x")]
)
def test_detach_keys(text: str, keys: bytes) -> None:
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", "ctrl-a,,b", "é"])
def test_wrong_detach_keys(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid detach keys"):
        parse(text)


def test_detach_filter_across_pieces() -> None:
    keys = DetachFilter(b"\x10\x11")
    assert [keys.feed(p) for p in (b"ab", b"c\x10", b"d", b"\x10\x10", b"x\x10")] == [
        b"ab",
        b"c",
        b"\x10d",
        b"\x10",
        b"\x10x",
    ]
    assert not keys.hit
    assert keys.feed(b"\x11rest") == b""
    assert keys.hit


def test_frames() -> None:
    assert frame(2, b"abc") == b"\x02\0\0\0\0\0\0\x03abc"


def test_times() -> None:
    assert unix("1970-01-01T00:00:10.999999999Z") == 10
    assert seconds("1970-01-01T01:00:00.5+01:00") == 0.5
    assert unix("0001-01-01T00:00:00Z") == 0
    assert parameter("12.5", "since") == 12.5
    assert parameter("1970-01-01T00:00:10Z", "since") == 10.0
    with pytest.raises(
        InvalidArgument, match=r"^invalid value 'x' for since - neither seconds nor RFC 3339$"
    ):
        parameter("x", "since")


def test_status_texts() -> None:
    def state(word: str, **more: Any) -> ContainerState:
        return ContainerState(
            status=word, started_at="1970-01-01T00:00:00.5Z", finished_at="1970-01-01T00:01:00Z", **more
        )

    now = 200.0
    assert status(state("running"), now) == "Up 3 minutes"
    assert status(state("running", health=Health(status="healthy")), now) == "Up 3 minutes (healthy)"
    assert (
        status(state("running", health=Health(status="starting")), now) == "Up 3 minutes (health: starting)"
    )
    assert status(state("paused"), now) == "Up 3 minutes (Paused)"
    assert status(state("exited", exit_code=3), now) == "Exited (3) 2 minutes ago"
    assert status(state("restarting", exit_code=1), now) == "Restarting (1) 2 minutes ago"
    assert status(state("removing"), now) == "Removal In Progress"
    assert status(state("dead"), now) == "Dead"
    assert status(state("created"), now) == "Created"


def test_ports() -> None:
    assert ports({"80/tcp": [{"HostIp": "::", "HostPort": "8080"}], "53/udp": None}) == [
        {"PrivatePort": 53, "Type": "udp"},
        {"IP": "::", "PrivatePort": 80, "Type": "tcp", "PublicPort": 8080},
    ]


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3500, "58 minutes"),
        (3600, "About an hour"),
        (36 * 3600, "36 hours"),
        (4 * 86400, "4 days"),
        (15 * 86400, "2 weeks"),
        (90 * 86400, "3 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations(age: float, text: str) -> None:
    assert duration(age) == text


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 72_800_000, 1_240_000_000)] == ["0B", "999B", "72.8MB", "1.24GB"]
    assert binary_size(1.944 * 1024**3) == "1.944GiB"


def test_prune_filters() -> None:
    rules = Pruning({"until": ["1h"], "label": ["a", "b=2"], "label!": ["keep"]}, now=10_000)
    assert rules.takes("1970-01-01T00:00:10Z", {"a": "", "b": "2"})
    assert not rules.takes("1970-01-01T02:30:00Z", {"a": "", "b": "2"})
    assert not rules.takes("", {"a": "", "b": "3"})
    assert not rules.takes("", {"a": "", "b": "2", "keep": ""})
    with pytest.raises(InvalidArgument, match=r"^more than one until filter specified$"):
        Pruning({"until": ["1h", "2h"]})


def test_changes() -> None:
    config = apply(
        {"Env": ["A=1"], "Cmd": ["x"]},
        [
            'ENTRYPOINT ["/init"]\nCMD run it',
            'ENV B="2 3" A=0',
            "ENV OLD way of it",
            "USER u",
            "WORKDIR /w",
            'VOLUME ["/v"]',
            "STOPSIGNAL INT",
            "ONBUILD RUN x",
            "EXPOSE 80 53/udp",
        ],
    )
    assert config == {
        "Env": ["A=0", "B=2 3", "OLD=way of it"],
        "Cmd": ["/bin/sh", "-c", "run it"],
        "Entrypoint": ["/init"],
        "User": "u",
        "WorkingDir": "/w",
        "Volumes": {"/v": {}},
        "StopSignal": "INT",
        "OnBuild": ["RUN x"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    }
    with pytest.raises(InvalidArgument, match=r"^invalid change 'ENV X' - KEY=VALUE is missing its =$"):
        apply({}, ["ENV X"])


def test_progress_of_a_slow_client_keeps_the_newest_count_only() -> None:
    async def main() -> list[dict[str, Any]]:
        relay = Relay()
        relay.sink(Progress(status="Pulling from x"))
        for n in range(1, 1001):
            relay.sink(Progress(status="Downloading", id="a", current=n, total=1000))
        await asyncio.to_thread(relay.sink, Progress(status="Pull complete", id="a"))
        relay.end()
        return [line async for lines in relay for line in lines]

    lines = asyncio.run(main())
    assert [line["status"] for line in lines] == ["Pulling from x", "Downloading", "Pull complete"]
    assert lines[1]["progressDetail"] == {"current": 1000, "total": 1000}


def test_batches_take_what_is_ready_and_end_with_their_source() -> None:
    async def main() -> list[list[int]]:
        async def source():
            yield 1
            yield 2
            await asyncio.sleep(0.05)
            yield 3

        return [batch async for batch in batched(source())]

    batches = asyncio.run(main())
    assert [n for batch in batches for n in batch] == [1, 2, 3]
    assert batches[-1] == [3]


def test_batches_close_a_source_that_is_left() -> None:
    closed = []

    async def main() -> None:
        async def source():
            try:
                n = 0
                while True:
                    yield n
                    n += 1
            finally:
                closed.append(True)

        batches = batched(source(), limit=4)
        assert await anext(batches)
        await batches.aclose()

    asyncio.run(main())
    assert closed == [True]


def test_batches_raise_what_their_source_raises_after_its_items() -> None:
    async def main() -> list[int]:
        async def source():
            yield 1
            raise InvalidArgument("broken")

        seen = []
        with pytest.raises(InvalidArgument, match=r"^broken$"):
            async for batch in batched(source()):
                seen += batch
        return seen

    assert asyncio.run(main()) == [1]
