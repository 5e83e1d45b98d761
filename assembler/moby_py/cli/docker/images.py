"""`images`, `rmi`, `tag`, `history`."""

from __future__ import annotations

from typing import Any

import click

from moby_py.cli.docker import table
from moby_py.cli.docker.client import client, filters, image_path
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each
from moby_py.cli.docker.options import listing, truncating

COLUMNS = {
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "IMAGE ID": "ID",
    "CREATED": "CreatedSince",
    "SIZE": "Size",
}


@click.command(
    epilog="\b\nExamples:\n  NAME images\n  NAME images -q --filter dangling=true\n  NAME images alpine"
)
@click.option("-a", "--all", "all_", is_flag=True, help="Accepted for docker's sake: all are shown.")
@click.option("--digests", is_flag=True, help="Digests too.")
@listing
@truncating
@click.argument("name", required=False)
def images(
    name: str | None,
    all_: bool,
    digests: bool,
    filter_: tuple[str, ...],
    quiet: bool,
    no_trunc: bool,
    template: str,
    as_json: bool,
) -> None:
    """List images."""
    wanted = [*filter_, *([f"reference={name}"] if name else [])]
    found = client().get("/images/json", all=all_, filters=filters(wanted))
    columns = dict(COLUMNS)
    if digests:
        columns = {"REPOSITORY": "Repository", "TAG": "Tag", "DIGEST": "Digest"} | COLUMNS
    rows = [row for item in found for row in rows_of(item, full=no_trunc)]
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)


def rows_of(item: dict[str, Any], *, full: bool) -> list[dict[str, str]]:
    """One per name, or one of <none>."""
    from moby_py.human import size

    digests = dict(text.rsplit("@", 1) for text in item.get("RepoDigests") or ())
    rows = []
    for name in item.get("RepoTags") or ["<none>:<none>"]:
        repository, _, tag = name.rpartition(":")
        rows.append(
            {
                "Repository": repository,
                "Tag": tag,
                "Digest": digests.get(repository, "<none>"),
                "ID": table.short(item["Id"], full=full),
                "CreatedSince": table.ago(item["Created"]),
                "CreatedAt": str(item["Created"]),
                "Size": size(item["Size"]),
                "Containers": "N/A",
                "SharedSize": "N/A",
                "UniqueSize": "N/A",
                "VirtualSize": size(item["Size"]),
            }
        )
    return rows


@click.command(epilog="\b\nExamples:\n  NAME rmi alpine:3\n  NAME rmi -f 0123456789ab")
@click.option("-f", "--force", is_flag=True, help="All its names, even with stopped containers.")
@click.option("--no-prune", is_flag=True, help="Keep untagged parents.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...", shell_complete=names("image"))
def rmi(names: tuple[str, ...], force: bool, no_prune: bool) -> int:
    """Remove images: a name, or the image with its last one."""
    api = client()

    def remove(name: str) -> None:
        for step in api.delete(f"/images/{image_path(name)}", force=force, noprune=no_prune) or ():
            for word, what in step.items():
                click.echo(f"{word}: {what}")

    return each(names, remove, quiet=True)


@click.command(epilog="\b\nExample:\n  NAME tag alpine:3 localhost:5000/alpine:3")
@click.argument("image", shell_complete=names("image"))
@click.argument("name")
def tag(image: str, name: str) -> None:
    """Give an image a further name."""
    from moby_py.reference import parse

    reference = parse(name)
    client().post(f"/images/{image_path(image)}/tag", None, repo=reference.familiar_name(), tag=reference.tag)


@click.command(
    epilog="\b\nExamples:\n  NAME history alpine:3\n"
    "  NAME history --no-trunc --format '{{.CreatedBy}}' alpine:3"
)
@click.option("--no-trunc", is_flag=True, help="Do not shorten.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--format", "template", default="", metavar="TEXT", help="json, table or {{.CreatedBy}} ...")
@click.option("--json", "as_json", is_flag=True, help="The API's objects as one JSON array.")
@click.argument("image", shell_complete=names("image"))
def history(image: str, no_trunc: bool, quiet: bool, template: str, as_json: bool) -> None:
    """Show how an image was made, newest step first."""
    from moby_py.human import size

    found = client().get(f"/images/{image_path(image)}/history")
    rows = [
        {
            "ID": step["Id"] if step["Id"] == "<missing>" else table.short(step["Id"], full=no_trunc),
            "CreatedSince": table.ago(step["Created"]),
            "CreatedBy": table.clip(step["CreatedBy"].replace("\t", " "), 45, full=no_trunc),
            "Size": size(step["Size"]),
            "Comment": step["Comment"],
        }
        for step in found
    ]
    columns = {
        "IMAGE": "ID",
        "CREATED": "CreatedSince",
        "CREATED BY": "CreatedBy",
        "SIZE": "Size",
        "COMMENT": "Comment",
    }
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)
