"""Bodies that no client of Docker's would send: refused by name before anything is made of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from engine_house import house

from moby_components.engine.moby.rendering.shape import check_shape
from moby_components.engine.moby.rendering.text import refuse_nul
from moby_py.errors import InvalidArgument


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"User": 1}, "invalid User - it must be text"),
        ({"Tty": "x"}, "invalid Tty - it must be true or false"),
        ({"StopTimeout": "x"}, "invalid StopTimeout - it must be a whole number"),
        ({"Env": "A=1"}, "invalid Env - it must be a list of texts"),
        ({"Cmd": [1]}, "invalid Cmd - it must be a text or a list of texts"),
        ({"Labels": {"a": 1}}, "invalid Labels - it must be an object of texts"),
        ({"Labels": []}, "invalid Labels - it must be an object of texts"),
        ({"Volumes": []}, "invalid Volumes - it must be an object"),
        ({"HostConfig": []}, "invalid HostConfig - it must be an object"),
        (
            {"NetworkingConfig": {"EndpointsConfig": []}},
            "invalid NetworkingConfig.EndpointsConfig - it must be an object",
        ),
        ({"HostConfig": {"Memory": 1 << 80}}, "invalid HostConfig.Memory - it must be a whole number"),
        ({"HostConfig": {"Memory": True}}, "invalid HostConfig.Memory - it must be a whole number"),
        ({"HostConfig": {"Devices": [1]}}, "invalid HostConfig.Devices - it must be a list of objects"),
        ({"HostConfig": {"Tmpfs": []}}, "invalid HostConfig.Tmpfs - it must be an object of texts"),
    ],
)
def test_wrong_types(body: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        check_shape(body)


def test_right_types_and_what_is_not_known() -> None:
    check_shape({"Cmd": "true", "Entrypoint": ["a"], "Labels": None, "HostConfig": None, "Later": object()})
    check_shape({"HostConfig": {"PidsLimit": -1, "Init": None, "Ulimits": [{"Name": "nofile"}]}})


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"Env": ["A=1", "B=x\0y"]}, "Env"),
        ({"Cmd": ["a\0b"]}, "Cmd"),
        ({"WorkingDir": "/a\0"}, "WorkingDir"),
        ({"HostConfig": {"Binds": ["/a:/b\0c"]}}, "HostConfig.Binds"),
        ({"HostConfig": {"Tmpfs": {"/x\0": ""}}}, "HostConfig.Tmpfs"),
    ],
)
def test_nul_bytes(body: dict[str, Any], where: str) -> None:
    """crun would run a command cut short, and report success."""
    with pytest.raises(InvalidArgument, match=f"^invalid {re.escape(where)} - it has a NUL byte in it$"):
        refuse_nul(body)
    refuse_nul({"Labels": {"a": "\0"}})


def test_create_and_exec_look_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with house(tmp_path) as home:
            for wrong in (
                {"Labels": {"a": 1}},
                {"Env": ["A=\0"]},
                {"HostConfig": {"StorageOpt": {"size": "1G"}}},
            ):
                with pytest.raises(InvalidArgument):
                    await home.engine.create({"Image": "busybox", **wrong})
            assert await home.engine.list(all=True) == []
            id = await home.launch("sleep", "30")
            for wrong in ({"Cmd": ["a\0b"]}, {"Cmd": ["a"], "Tty": "x"}):
                with pytest.raises(InvalidArgument):
                    await home.engine.exec_create(id, wrong)
            for name, labels in ((1, None), ("v", [1]), ("v", {"a": 1})):
                with pytest.raises(InvalidArgument):
                    await home.engine.volume_create(name, labels=labels)  # type: ignore[arg-type]
            future = home.engine.events(since=1e20, until=1.0, filters={})
            assert [event async for event in future] == []
            await home.engine.remove(id, force=True)

    asyncio.run(story())
