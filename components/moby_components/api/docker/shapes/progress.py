"""Docker's progress lines, from a store's `Progress`."""

from __future__ import annotations

from typing import Any

from moby_py.human import size
from moby_py.model import Progress

WIDTH = 50


def line(step: Progress) -> dict[str, Any]:
    shape: dict[str, Any] = {"status": step.status}
    if step.total > 0:
        shape["progressDetail"] = {"current": step.current, "total": step.total}
        shape["progress"] = bar(step.current, step.total)
    elif step.current > 0:
        shape["progressDetail"] = {"current": step.current}
        shape["progress"] = size(step.current, precision=4)
    elif step.id:
        shape["progressDetail"] = {}
    if step.id:
        shape["id"] = step.id
    return shape


def bar(current: int, total: int) -> str:
    filled = min(WIDTH, current * WIDTH // total)
    arrow = "=" * filled + (">" if filled < WIDTH else "")
    return f"[{arrow:<{WIDTH}}]  {size(current, precision=4)}/{size(total, precision=4)}"
