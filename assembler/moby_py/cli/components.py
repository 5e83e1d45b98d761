"""`moby-py components`: what there is to build from, who brings it, and whether it works here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from moby_py.registry import Entry, Registry

COLOURS = {"ok": "green", "unavailable": "yellow", "broken": "red"}


@click.command(
    epilog="\b\nExamples:\n  moby-py components\n  moby-py components runtime\n"
    "  moby-py components --json | jq '.[] | select(.status == \"broken\")'"
)
@click.argument("kind", required=False)
@click.option("--plugin", "plugins", multiple=True, metavar="FILE", help="List this plugin file's too.")
@click.option("--json", "as_json", is_flag=True, help="The same as a JSON list.")
def components(kind: str | None, plugins: tuple[str, ...], as_json: bool) -> None:
    """List the components there are, or those of one KIND.

    Each with the package that it comes from and its status.

    "unavailable": this host lacks something it needs. "broken": its package does not work.
    """
    from moby_py.cli.text import columns, echo_json
    from moby_py.registry import Registry

    registry = Registry(plugin_files=plugins)
    if kind is not None and kind not in registry.kinds():
        raise click.UsageError(f"no such kind {kind!r} - the kinds are {', '.join(registry.kinds())}")
    looked = [_look(registry, e) for e in registry.entries() if kind in (None, e.kind)]
    if as_json:
        echo_json([_as_json(entry) for entry in looked])
        return
    rows = [("KIND", "NAME", "FROM", "STATUS", "SUMMARY / WHY")]
    rows += [(e.kind, e.name, e.origin, e.status, e.why or e.summary) for e in looked]
    lines = columns(rows)
    click.echo(lines[0])
    for entry, line in zip(looked, lines[1:], strict=True):
        click.echo(_coloured(line, entry.status))


def _look(registry: Registry, entry: Entry) -> Entry:
    """Load it, then ask this host for what it needs with its default options."""
    from dataclasses import replace

    from moby_py.errors import MobyError
    from moby_py.host import lacking

    entry = registry.examine(entry)
    if entry.status != "ok":
        return entry
    try:
        options = _defaults(registry.schema(entry.kind, entry.name))
        why = lacking(registry.load(entry.kind, entry.name), options)
    except MobyError as error:
        return replace(entry, status="broken", why=error.message)
    return replace(entry, status="unavailable", why=why) if why else entry


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    return {name: p["default"] for name, p in properties.items() if isinstance(p, dict) and "default" in p}


def _coloured(line: str, status: str) -> str:
    before, found, after = line.partition(f"   {status}")
    if not found:
        return line
    return f"{before}   {click.style(status, fg=COLOURS.get(status))}{after}"


def _as_json(entry: Entry) -> dict[str, str]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
        "module": entry.module,
        "status": entry.status,
        "why": entry.why,
        "summary": entry.summary,
    }
