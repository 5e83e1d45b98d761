"""Restart policies: whether, and after how long. Pure; the clock is the caller's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moby_py.errors import InvalidArgument, MobyError, NotFound, Unsupported

FIRST_DELAY = 0.1
LONGEST_DELAY = 60.0
RESET_AFTER = 10.0
"""Seconds of running after which the back-off begins anew."""
NAMES = ("no", "always", "unless-stopped", "on-failure")


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """`maximum` counts restarts of on-failure; 0 means no end."""

    name: str = "no"
    maximum: int = 0

    @classmethod
    def of(cls, host: Mapping[str, Any]) -> RestartPolicy:
        """From HostConfig. Raises InvalidArgument in Docker's words."""
        data = host.get("RestartPolicy") or {}
        name = data.get("Name") or "no"
        maximum = data.get("MaximumRetryCount") or 0
        if name not in NAMES:
            raise InvalidArgument(
                f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', "
                "'on-failure', or 'unless-stopped'"
            )
        if maximum < 0:
            raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
        if maximum and name != "on-failure":
            raise InvalidArgument(
                "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            )
        return cls(name, maximum)

    def after_exit(self, code: int, count: int, *, stopped_by_user: bool) -> bool:
        """Whether a container that just ended with `code`, restarted `count` times so far, runs again."""
        if stopped_by_user or self.name == "no":
            return False
        if self.name == "on-failure":
            return code != 0 and (self.maximum == 0 or count < self.maximum)
        return True

    def at_boot(self, *, stopped_by_user: bool, resume: bool, started_before: bool) -> bool:
        """Whether it is started when the platform comes up. `always` even after a manual stop."""
        if self.name == "always":
            return started_before
        return self.name == "unless-stopped" and started_before and (resume or not stopped_by_user)


def worth_retrying(error: MobyError, exit_code: int) -> bool:
    """Whether a failed start may go well later: a port that is taken, a network that is not up yet. What
    the container itself asks for wrongly (no such program, bad options) fails for ever."""
    return exit_code not in (126, 127) and not isinstance(error, InvalidArgument | NotFound | Unsupported)


@dataclass(slots=True)
class BackOff:
    """100 ms, doubled with each restart up to a minute; anew after ten seconds of running."""

    delay: float = 0.0

    def next(self, ran_for: float) -> float:
        """The pause before the restart of a container that ran for so many seconds."""
        if self.delay == 0.0 or ran_for >= RESET_AFTER:
            self.delay = FIRST_DELAY
        else:
            self.delay = min(self.delay * 2, LONGEST_DELAY)
        return self.delay
