"""What several commands print in the same way: columns, warnings, problems as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from moby_py.wiring import Wiring

R = TypeVar("R")


def columns(rows: Sequence[Sequence[str]], *, gap: int = 3) -> list[str]:
    """Rows as aligned lines; the last column is as long as it is."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    return [
        "".join(cell.ljust(width + gap) for cell, width in zip(row, widths, strict=False)).rstrip()
        if not row[-1]
        else "".join(cell.ljust(width + gap) for cell, width in zip(row, widths, strict=False)) + row[-1]
        for row in rows
    ]


def parts_line(wiring: Wiring) -> str:
    """All parts in one line: "runtime runc, sandbox · image_store overlay · ..."."""
    return " · ".join(f"{kind} {', '.join(p.id for p in wiring.of(kind))}" for kind in wiring.kinds)


def warn(message: str, hint: str | None = None) -> None:
    """A warning on stderr, in the form of an error."""
    click.echo(f"{click.style('warning', fg='yellow')}: {message}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)


def echo_json(data: Any) -> None:
    import json

    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def with_problems_as_json(as_json: bool, call: Callable[[], R]) -> R:
    """Run `call`; with `as_json` a BlueprintError is printed as `{"problems": [...]}` on stdout, and
    the command ends with its exit status."""
    from moby_py.errors import BlueprintError

    try:
        return call()
    except BlueprintError as error:
        if not as_json:
            raise
        echo_json({"problems": [problem.as_json() for problem in error.problems]})
        raise click.exceptions.Exit(error.exit_status) from error
