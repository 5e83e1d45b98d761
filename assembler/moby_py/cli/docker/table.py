"""Tables as docker prints them: columns ten wide or more, three blanks between."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

MIN_WIDTH, GAP = 10, 3


def render(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [[*titles], *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(MIN_WIDTH, max(len(line[n]) for line in lines) + GAP) for n in range(len(titles))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)) + line[-1]
        for line in lines
    )


def show(
    columns: Mapping[str, str],
    rows: Sequence[Mapping[str, str]],
    *,
    quiet: str = "",
    template: str = "",
    raw: Any = None,
    as_json: bool = False,
) -> None:
    """A list in the form asked for.

    columns:  title -> key of a row, for the default table
    quiet:    the key to print alone (`-q`)
    template: --format: "json" (one object per line), "table", "table {{.ID}}\\t{{.Names}}", "{{.ID}}"
    as_json:  the API's own objects (`raw`) as one JSON array
    """
    if as_json:
        click.echo(json.dumps(raw, indent=2))
    elif template == "json":
        for row in rows:
            click.echo(json.dumps(dict(sorted(row.items()))))
    elif quiet and not template:
        for row in rows:
            click.echo(row[quiet])
    elif template and template != "table":
        _templated(columns, rows, template)
    else:
        click.echo(render(list(columns), ([row[key] for key in columns.values()] for row in rows)))


def _templated(columns: Mapping[str, str], rows: Sequence[Mapping[str, str]], text: str) -> None:
    from moby_py.cli.docker.template import Template

    body = text.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n")
    template = Template(body)
    lines = [template.render(row) for row in rows]
    if text.startswith("table "):
        titles = {key: title for title, key in columns.items()}
        known = {key: key.upper() for row in rows for key in row}
        head = template.render({**known, **titles})
        click.echo(render(head.split("\t"), (line.split("\t") for line in lines)))
        return
    for line in lines:
        click.echo(line)


def ago(text: str | float) -> str:
    """ "3 hours ago", from RFC 3339 or seconds since the epoch; "N/A" for never."""
    import time

    from moby_py.human import duration

    at = text if isinstance(text, int | float) else moment(text)
    return f"{duration(time.time() - at)} ago" if at > 0 else "N/A"


def moment(text: str) -> float:
    """RFC 3339 -> seconds since the epoch; 0.0 for never."""
    if not text or text.startswith("0001-"):
        return 0.0
    whole, _, rest = text.partition(".")
    zone = rest.lstrip("0123456789") if rest else ""
    try:
        return datetime.fromisoformat((whole + zone).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def short(id: str, *, full: bool = False) -> str:
    return id if full else id.removeprefix("sha256:")[:12]


def quoted(text: str) -> str:
    """In quotes, and on one line whatever it holds; commands come from images."""
    return '"' + _plain(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _plain(text: str) -> str:
    """Without what a terminal would obey: an image's history may say anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def clip(text: str, width: int, *, full: bool = False) -> str:
    """Docker's ellipsis: the last of `width` characters."""
    return text if full or len(text) <= width else text[: width - 1] + "…"
