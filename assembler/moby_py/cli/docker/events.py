"""`events`: what happens, as it happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click

from moby_py.cli.docker.client import client, filters
from moby_py.cli.docker.logs import moment


@click.command(
    epilog="\b\nExamples:\n  NAME events --filter type=container\n  NAME events --since 10m --until 0s"
)
@click.option("--since", default="", metavar="TIME", help="Also what happened since then (10m).")
@click.option("--until", default="", metavar="TIME", help="Until then.")
@click.option("-f", "--filter", "filter_", metavar="KEY=VALUE", multiple=True, help="Only these.")
@click.option("--format", "template", default="", metavar="TEXT", help="json or {{.Action}} ...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def events(since: str, until: str, filter_: tuple[str, ...], template: str, as_json: bool) -> None:
    """Show events of the platform until interrupted."""
    from moby_py.cli.docker.template import Template

    form = Template(template) if template and template != "json" else None
    query = {"since": moment(since), "until": moment(until), "filters": filters(filter_)}
    for event in client().objects("GET", "/events", query=query):
        if form is not None:
            click.echo(form.render(event))
        else:
            click.echo(json.dumps(event) if as_json or template else line(event))


def line(event: dict[str, Any]) -> str:
    """2026-01-02T03:04:05.000000006Z container die 0123abcd (exitCode=0, name=web)"""
    nano = int(event["timeNano"])
    whole = datetime.fromtimestamp(nano // 10**9, UTC)
    actor = event["Actor"]
    told = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    head = f"{whole:%Y-%m-%dT%H:%M:%S}.{nano % 10**9:09d}Z {event['Type']} {event['Action']} {actor['ID']}"
    return f"{head} ({told})" if told else head
