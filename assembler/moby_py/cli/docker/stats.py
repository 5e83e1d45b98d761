"""`stats`: what containers use, once or as it changes."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from moby_py.cli.docker import table
from moby_py.cli.docker.client import Client, client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import NotFound

COLUMNS = {
    "CONTAINER ID": "ID",
    "NAME": "Name",
    "CPU %": "CPUPerc",
    "MEM USAGE / LIMIT": "MemUsage",
    "MEM %": "MemPerc",
    "NET I/O": "NetIO",
    "BLOCK I/O": "BlockIO",
    "PIDS": "PIDs",
}


@click.command(epilog="\b\nExamples:\n  NAME stats\n  NAME stats --no-stream web")
@click.option("-a", "--all", "all_", is_flag=True, help="Also those that do not run.")
@click.option("--no-stream", is_flag=True, help="Once.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("--format", "template", default="", metavar="TEXT", help="json, table or {{.Name}} ...")
@click.option("--json", "as_json", is_flag=True, help="The API's objects as one JSON array (once).")
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]", shell_complete=names("container"))
def stats(
    containers: tuple[str, ...], all_: bool, no_stream: bool, no_trunc: bool, template: str, as_json: bool
) -> None:
    """Show CPU, memory and I/O of containers."""
    api = client()
    before: dict[str, Any] | None = None
    once = no_stream or as_json
    for name in containers:
        api.get(f"/containers/{segment(name)}/json")
    while True:
        samples = {id: sample(api, id) for id in containers or _ids(api, all_)}
        if once and samples and before is None:  # percentages need two samples
            before = samples
            time.sleep(1.0)
            continue
        rows = [row(now, (before or {}).get(id), full=no_trunc) for id, now in samples.items() if now]
        if not once and not template:
            click.echo("\x1b[2J\x1b[H", nl=False)
        table.show(COLUMNS, rows, template=template, raw=list(samples.values()), as_json=as_json)
        if once:
            return
        before = samples
        time.sleep(1.0)


def _ids(api: Client, all_: bool) -> list[str]:
    return [item["Id"] for item in api.get("/containers/json", all=all_)]


def sample(api: Client, id: str) -> dict[str, Any] | None:
    """None for one that went meanwhile."""
    try:
        answer = api.send("GET", f"/containers/{segment(id)}/stats", query={"stream": "0", "one-shot": True})
    except NotFound:
        return None
    except Exception as error:
        if getattr(error, "status", 0) == 404:
            return None
        raise
    try:
        found: dict[str, Any] = json.loads(answer.read())
    finally:
        answer.close()
    return found


def row(now: dict[str, Any], before: dict[str, Any] | None, *, full: bool) -> dict[str, str]:
    from moby_py.human import binary_size, size

    memory = now.get("memory_stats") or {}
    inside = memory.get("stats") or {}
    cache = inside.get("total_inactive_file", inside.get("inactive_file", 0))
    used, limit = max(0, memory.get("usage", 0) - cache), memory.get("limit", 0)
    read = write = 0
    for entry in (now.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        read += entry["value"] if entry["op"].lower() == "read" else 0
        write += entry["value"] if entry["op"].lower() == "write" else 0
    nets = (now.get("networks") or {}).values()
    received, sent = sum(n["rx_bytes"] for n in nets), sum(n["tx_bytes"] for n in nets)
    return {
        "ID": table.short(now["id"], full=full),
        "Name": now["name"].removeprefix("/"),
        "CPUPerc": f"{_cpu(now, before):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{used * 100 / limit if limit else 0.0:.2f}%",
        "NetIO": f"{size(received)} / {size(sent)}",
        "BlockIO": f"{size(read)} / {size(write)}",
        "PIDs": str((now.get("pids_stats") or {}).get("current", 0)),
    }


def _cpu(now: dict[str, Any], before: dict[str, Any] | None) -> float:
    """Share of one CPU, in percent, between two samples."""
    if not before:
        return 0.0
    new, old = now["cpu_stats"], before["cpu_stats"]
    system = new.get("system_cpu_usage", 0) - old.get("system_cpu_usage", 0)
    used = new["cpu_usage"]["total_usage"] - old["cpu_usage"]["total_usage"]
    return used / system * new.get("online_cpus", 1) * 100 if system > 0 and used > 0 else 0.0
