"""`ps`: list containers."""

from __future__ import annotations

from typing import Any

import click

from moby_py.cli.docker import table
from moby_py.cli.docker.client import client, filters
from moby_py.cli.docker.options import listing, truncating

COLUMNS = {
    "CONTAINER ID": "ID",
    "IMAGE": "Image",
    "COMMAND": "Command",
    "CREATED": "RunningFor",
    "STATUS": "Status",
    "PORTS": "Ports",
    "NAMES": "Names",
}


@click.command(
    epilog="\b\nExamples:\n  NAME ps -a\n  NAME ps -q --filter status=exited\n  NAME ps --format '{{.Names}}'"
)
@click.option("-a", "--all", "all_", is_flag=True, help="Also those that do not run.")
@click.option("-n", "--last", type=int, default=0, help="Only the N created last.")
@click.option("-l", "--latest", is_flag=True, help="Only the one created last.")
@click.option("-s", "--size", is_flag=True, help="Sizes too.")
@listing
@truncating
def ps(
    all_: bool,
    last: int,
    latest: bool,
    size: bool,
    filter_: tuple[str, ...],
    quiet: bool,
    no_trunc: bool,
    template: str,
    as_json: bool,
) -> None:
    """List containers."""
    found = client().get(
        "/containers/json", all=all_, limit=1 if latest else last, size=size, filters=filters(filter_)
    )
    columns = {**COLUMNS, "SIZE": "Size"} if size else COLUMNS
    rows = [row(item, full=no_trunc) for item in found]
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)


def row(item: dict[str, Any], *, full: bool) -> dict[str, str]:
    from moby_py.human import size

    command = item["Command"]
    image = item["Image"]
    return {
        "ID": table.short(item["Id"], full=full),
        "Image": table.short(image, full=full) if image.startswith("sha256:") else image,
        "Command": table.quoted(table.clip(command, 20, full=full)),
        "CreatedAt": str(item["Created"]),
        "RunningFor": table.ago(item["Created"]),
        "Status": item["Status"],
        "State": item["State"],
        "Ports": ports(item.get("Ports") or ()),
        "Names": ",".join(name.removeprefix("/") for name in item["Names"]),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted((item.get("Labels") or {}).items())),
        "Mounts": ",".join(m.get("Name") or m.get("Source") or "" for m in item.get("Mounts") or ()),
        "Networks": ",".join(sorted((item.get("NetworkSettings") or {}).get("Networks") or {})),
        "Size": size(item.get("SizeRw") or 0),
    }


def ports(entries: Any) -> str:
    """0.0.0.0:80->80/tcp, 443/tcp"""
    shown = []
    for entry in entries:
        inside = f"{entry['PrivatePort']}/{entry.get('Type', 'tcp')}"
        if entry.get("PublicPort"):
            host = entry.get("IP") or "0.0.0.0"  # noqa: S104 - what docker prints for "all addresses"
            host = f"[{host}]" if ":" in host else host
            inside = f"{host}:{entry['PublicPort']}->{inside}"
        shown.append(inside)
    return ", ".join(shown)
