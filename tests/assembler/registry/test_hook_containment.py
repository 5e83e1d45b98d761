"""A plugin's hook that raises, hangs or answers nonsense is named, passed over, and in the end left out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from moby_py.errors import PermissionDenied
from moby_py.hooks import FAILURES, HookDispatcher
from moby_py.model import ContainerSpec, Event, ProcessSpec
from moby_py.registry import Registry

SPEC = ContainerSpec(id="1" * 64, name="c", image="i", image_id="x", process=ProcessSpec(args=("sh",)))
Make = Callable[..., tuple[HookDispatcher, list[str], str]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A dispatcher over one plugin file with these hooks, and what it reports."""
    count = iter(range(100))

    def make(body: str, *, limit: float = 5.0) -> tuple[HookDispatcher, list[str], str]:
        path = tmp_path / f"plugin{next(count)}.py"
        path.write_text(
            "import asyncio, time, sys, threading\nfrom dataclasses import replace\n"
            f"from moby_py import Veto, hookimpl\nSEEN = []\nHOLD = threading.Event()\n{body}"
        )
        reports: list[str] = []
        dispatcher = HookDispatcher(Registry([path]), limit=limit, report=reports.append)
        name = f"moby_py_plugin_{path.stem} (from {path})"
        return dispatcher, reports, name

    return make


def hook(name: str, argument: str, body: str) -> str:
    return f"\n@hookimpl\ndef {name}({argument}):\n    {body}\n"


def test_a_changed_copy_is_what_runs(make: Make) -> None:
    body = hook("container_spec", "spec", "return replace(spec, hostname='changed')")
    dispatcher, reports, _ = make(body)
    assert asyncio.run(dispatcher.container_spec(SPEC)) == replace(SPEC, hostname="changed")
    assert reports == []


def test_none_leaves_the_spec(make: Make) -> None:
    dispatcher, reports, _ = make(hook("container_spec", "spec", "return None"))
    assert asyncio.run(dispatcher.container_spec(SPEC)) is SPEC
    assert reports == []


def test_a_veto_stops_it_with_its_own_words_and_403(make: Make) -> None:
    dispatcher, reports, _ = make(hook("container_spec", "spec", "raise Veto('not on a Friday')"))
    for _ in range(FAILURES + 1):
        with pytest.raises(PermissionDenied, match=r"^not on a Friday$") as caught:
            asyncio.run(dispatcher.container_spec(SPEC))
        assert caught.value.http_status == 403
    assert reports == []


WRONG = {
    "raise ValueError('no such thing')": "raised ValueError: no such thing",
    "raise KeyError": "raised KeyError",
    "sys.exit(2)": "raised SystemExit: 2",
    "raise asyncio.CancelledError": "raised CancelledError",
    "raise TimeoutError('mine')": "raised TimeoutError: mine",
    "return {'id': 1}": "returned a value of type dict where a ContainerSpec or None belongs",
    "return asyncio.sleep(0)": "returned a value of type coroutine where a ContainerSpec or None belongs",
    "return replace(spec, id='2' * 64)": "changed the container's id",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_goes_wrong_is_named_and_passed_over(make: Make, body: str) -> None:
    dispatcher, reports, name = make(hook("container_spec", "spec", body))
    assert asyncio.run(dispatcher.container_spec(SPEC)) is SPEC
    assert reports == [f"plugin {name}: its hook container_spec {WRONG[body]} - it is passed over"]


def test_after_three_failures_it_is_not_asked_again(make: Make) -> None:
    dispatcher, reports, name = make(hook("container_spec", "spec", "SEEN.append(1); 1 / 0"))

    async def five() -> None:
        for _ in range(5):
            assert await dispatcher.container_spec(SPEC) is SPEC

    asyncio.run(five())
    assert len(reports) == FAILURES
    assert reports[-1] == (
        f"plugin {name}: its hook container_spec raised ZeroDivisionError: division by zero - it is passed "
        "over, and after 3 failures not asked again until the next start"
    )


def test_a_hanging_hook_costs_its_limit_and_no_more(make: Make) -> None:
    dispatcher, reports, name = make(hook("container_spec", "spec", "HOLD.wait(60)"), limit=0.2)

    async def run() -> float:
        began = time.monotonic()
        assert await dispatcher.container_spec(SPEC) is SPEC
        return time.monotonic() - began

    assert 0.2 <= asyncio.run(run()) < 2
    assert reports == [
        f"plugin {name}: its hook container_spec did not return within 0.2 s - it is passed over"
    ]


def test_a_hook_that_hangs_does_not_stop_the_daemon_s_loop(make: Make) -> None:
    dispatcher, _, _ = make(hook("container_spec", "spec", "time.sleep(0.3)"))

    async def run() -> int:
        ticks = 0
        waiting = asyncio.create_task(dispatcher.container_spec(SPEC))
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    assert asyncio.run(run()) > 5


def test_events_arrive_in_order_off_the_path(make: Make) -> None:
    dispatcher, reports, _ = make(hook("event", "event", "time.sleep(0.001); SEEN.append(event.id)"))
    began = time.monotonic()
    for number in range(100):
        dispatcher.event(Event(type="container", action="start", actor="a", id=number))
    assert time.monotonic() - began < 0.09
    dispatcher.close()
    import sys

    module = next(m for n, m in sys.modules.items() if n == "moby_py_plugin_plugin0")
    assert list(range(100)) == module.SEEN
    assert reports == []


def test_a_hanging_listener_holds_nobody_and_is_left_out(make: Make) -> None:
    dispatcher, reports, _ = make(hook("event", "event", "HOLD.wait(60)"), limit=0.05)
    for number in range(2000):
        dispatcher.event(Event(type="container", action="start", actor="a", id=number))
    deadline = time.monotonic() + 5
    while len(reports) < FAILURES and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(reports) == FAILURES
    began = time.monotonic()
    dispatcher.close()
    assert time.monotonic() - began < 1.5


def test_a_closed_dispatcher_takes_no_events(make: Make) -> None:
    dispatcher, _, _ = make(hook("event", "event", "SEEN.append(event.id)"))
    dispatcher.close()
    dispatcher.close()
    before = threading.active_count()
    dispatcher.event(Event(type="container", action="start", actor="a"))
    assert threading.active_count() == before


def test_without_plugins_nothing_is_started() -> None:
    dispatcher = HookDispatcher(Registry())
    before = threading.active_count()
    assert asyncio.run(dispatcher.container_spec(SPEC)) is SPEC
    dispatcher.event(Event(type="container", action="start", actor="a"))
    dispatcher.close()
    assert threading.active_count() == before


def test_build_hooks_get_copies_and_are_contained(make: Make, tmp_path: Path) -> None:
    body = hook("before_build", "blueprint", "blueprint['name'] = 'taken'; SEEN.append(blueprint['name'])")
    body += hook("after_build", "directory", "raise OSError('disk on fire')")
    dispatcher, reports, name = make(body)
    blueprint = {"name": "shop", "components": {}}
    dispatcher.before_build(blueprint)
    dispatcher.after_build(tmp_path)
    assert blueprint == {"name": "shop", "components": {}}
    assert reports == [
        f"plugin {name}: its hook after_build raised OSError: disk on fire - it is passed over"
    ]
