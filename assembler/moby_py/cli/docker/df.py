"""`system df`: what takes room on the disk, in Docker's tables."""

from __future__ import annotations

import json
from typing import Any

import click

from moby_py.cli.docker import table
from moby_py.cli.docker.client import client

ALIVE = ("running", "paused", "restarting")


@click.command(epilog="\b\nExamples:\n  NAME system df\n  NAME system df -v")
@click.option("-v", "--verbose", is_flag=True, help="Each object.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def df(verbose: bool, as_json: bool) -> None:
    """Show what takes room on the disk."""
    found = client().get("/system/df")
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif verbose:
        for title, titles, rows in (_images(found), _containers(found), _volumes(found)):
            click.echo(f"{title} space usage:\n\n{table.render(titles, rows)}\n")
    else:
        titles = ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
        click.echo(table.render(titles, _summary(found)))


def _summary(found: Any) -> list[list[str]]:
    images, containers, volumes = (found[key] or [] for key in ("Images", "Containers", "Volumes"))
    in_use = [i for i in images if i["Containers"] > 0]
    live = [c for c in containers if c["State"] in ALIVE]
    mounted = [v for v in volumes if v["UsageData"]["RefCount"] > 0]
    kept = sum(i["Size"] - max(0, i["SharedSize"]) for i in in_use)
    return [
        _line("Images", images, in_use, found["LayersSize"], found["LayersSize"] - kept),
        _line("Containers", containers, live, _written(containers), _written(containers) - _written(live)),
        _line("Local Volumes", volumes, mounted, _held(volumes), _held(volumes) - _held(mounted)),
    ]


def _line(kind: str, every: list[Any], active: list[Any], total: int, free: int) -> list[str]:
    from moby_py.human import size

    free = max(0, free)
    share = f" ({100 * free // total}%)" if total else ""
    return [kind, str(len(every)), str(len(active)), size(total), size(free) + share]


def _written(containers: list[Any]) -> int:
    return sum(c.get("SizeRw") or 0 for c in containers)


def _held(volumes: list[Any]) -> int:
    return sum(max(0, v["UsageData"]["Size"]) for v in volumes)


def _images(found: Any) -> tuple[str, list[str], list[list[str]]]:
    from moby_py.human import size

    titles = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"]
    rows = []
    for image in found["Images"] or ():
        shared = max(0, image["SharedSize"])
        about = [
            table.short(image["Id"]),
            table.ago(image["Created"]),
            *(size(image["Size"]), size(shared), size(image["Size"] - shared)),
            str(image["Containers"]),
        ]
        for name in image["RepoTags"] or ["<none>:<none>"]:
            repository, _, tag = name.rpartition(":")
            rows.append([repository, tag, *about])
    return "Images", titles, rows


def _containers(found: Any) -> tuple[str, list[str], list[list[str]]]:
    from moby_py.human import size

    titles = ["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"]
    rows = [
        [
            table.short(item["Id"]),
            table.short(item["Image"]) if item["Image"].startswith("sha256:") else item["Image"],
            table.quoted(table.clip(item["Command"], 20)),
            str(sum(mount["Type"] == "volume" for mount in item["Mounts"] or ())),
            size(item.get("SizeRw") or 0),
            table.ago(item["Created"]),
            item["Status"],
            ",".join(name.removeprefix("/") for name in item["Names"]),
        ]
        for item in found["Containers"] or ()
    ]
    return "Containers", titles, rows


def _volumes(found: Any) -> tuple[str, list[str], list[list[str]]]:
    from moby_py.human import size

    rows = [
        [v["Name"], str(v["UsageData"]["RefCount"]), size(max(0, v["UsageData"]["Size"]))]
        for v in found["Volumes"] or ()
    ]
    return "Local Volumes", ["VOLUME NAME", "LINKS", "SIZE"], rows
