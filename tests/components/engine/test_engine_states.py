"""The state table: every request in every state has an answer, and the answers are Docker's words."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from moby_components.engine.moby import states
from moby_py.errors import Conflict, NotModified

ID, NAME = "f" * 64, "web"


def test_every_state_answers_every_request() -> None:
    assert set(states.ANSWERS) == set(get_args(states.Status))
    for status, answers in states.ANSWERS.items():
        assert set(answers) == set(get_args(states.Request)), status


@pytest.mark.parametrize(
    ("status", "request_", "error", "text"),
    [
        ("running", "start", NotModified, f"container {ID} is already started"),
        ("exited", "stop", NotModified, f"container {ID} is already stopped"),
        ("created", "kill", Conflict, f"cannot kill container: {NAME}: container {ID} is not running"),
        (
            "running",
            "remove",
            Conflict,
            'cannot remove container "/web": container is running: '
            "stop the container before removing or force remove",
        ),
        (
            "paused",
            "remove",
            Conflict,
            'cannot remove container "/web": container is paused and must be unpaused first',
        ),
        ("paused", "start", Conflict, "cannot start a paused container, try unpause instead"),
        ("paused", "exec", Conflict, f"container {ID} is paused, unpause the container before exec"),
        ("running", "unpause", Conflict, f"container {ID} is not paused"),
        ("paused", "pause", Conflict, f"container {ID} is already paused"),
        (
            "restarting",
            "exec",
            Conflict,
            f"container {ID} is restarting, wait until the container is running",
        ),
        ("removing", "remove", Conflict, f"removal of container {ID} is already in progress"),
        ("dead", "start", Conflict, "container is marked for removal and cannot be started"),
        ("exited", "exec", Conflict, f"container {ID} is not running"),
    ],
)
def test_refusals(status: states.Status, request_: states.Request, error: type, text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        states.check(status, request_, id=ID, name=NAME)


def test_what_is_allowed_raises_nothing() -> None:
    for status, request in (
        ("created", "start"),
        ("running", "stop"),
        ("exited", "remove"),
        ("dead", "remove"),
    ):
        states.check(status, request, id=ID, name=NAME)  # type: ignore[arg-type]


def test_every_state_can_be_left_and_only_live_ones_end() -> None:
    assert {status for status, _ in states.NEXT} == set(get_args(states.Status))
    for (status, happening), follows in states.NEXT.items():
        assert follows in states.ANSWERS
        if happening == "ended-restart":
            assert status in states.ACTIVE
            assert follows == "restarting"
    with pytest.raises(KeyError):
        states.after("created", "paused")
