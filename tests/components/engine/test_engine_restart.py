"""Restart policies and their back-off, against a clock of our own."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moby_components.engine.moby.restart import (
    FIRST_DELAY,
    LONGEST_DELAY,
    NAMES,
    RESET_AFTER,
    BackOff,
    RestartPolicy,
)
from moby_py.errors import InvalidArgument


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=60))
def test_back_off_doubles_up_to_a_minute_and_begins_anew_after_ten_seconds(runs: list[float]) -> None:
    back_off = BackOff()
    delays = [back_off.next(ran) for ran in runs]
    assert delays[0] == FIRST_DELAY
    for (before, after), ran in zip(pairwise(delays), runs[1:], strict=True):
        if ran >= RESET_AFTER:
            assert after == FIRST_DELAY
        else:
            assert after == min(before * 2, LONGEST_DELAY)
    assert all(FIRST_DELAY <= delay <= LONGEST_DELAY for delay in delays)


def test_a_crash_loop_reaches_the_minute_in_ten_steps() -> None:
    back_off = BackOff()
    assert [round(back_off.next(0.01), 1) for _ in range(12)] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        25.6,
        51.2,
        60.0,
        60.0,
    ]


@settings(deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 255), st.integers(0, 10), st.booleans())
def test_after_exit(name: str, code: int, count: int, stopped: bool) -> None:
    policy = RestartPolicy(name, 3 if name == "on-failure" else 0)
    again = policy.after_exit(code, count, stopped_by_user=stopped)
    if stopped or name == "no":
        assert not again
    elif name == "on-failure":
        assert again == (code != 0 and count < 3)
    else:
        assert again


def test_at_boot() -> None:
    def boots(name: str, **state: bool) -> bool:
        base = {"stopped_by_user": False, "resume": False, "started_before": True}
        return RestartPolicy(name).at_boot(**{**base, **state})

    assert boots("always")
    assert boots("always", stopped_by_user=True)
    assert not boots("always", started_before=False)
    assert boots("unless-stopped")
    assert not boots("unless-stopped", stopped_by_user=True)
    assert boots("unless-stopped", stopped_by_user=True, resume=True)
    assert not boots("on-failure")
    assert not boots("no", resume=True)


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (
            {"Name": "sometimes"},
            "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'",
        ),
        (
            {"Name": "always", "MaximumRetryCount": 2},
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            {"Name": "on-failure", "MaximumRetryCount": -1},
            "invalid restart policy: maximum retry count cannot be negative",
        ),
    ],
)
def test_wrong_policies(policy: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{re.escape(text)}$"):
        RestartPolicy.of({"RestartPolicy": policy})
