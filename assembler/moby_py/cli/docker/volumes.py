"""`volume create|ls|rm`."""

from __future__ import annotations

import click

from moby_py.cli.docker import parsing, table
from moby_py.cli.docker.client import client, filters, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each
from moby_py.cli.docker.options import listing


@click.command(name="create", epilog="\b\nExample:\n  NAME volume create --label app=shop data")
@click.option("-d", "--driver", default="", help="Instead of local.")
@click.option("-o", "--opt", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label.")
@click.argument("name", required=False)
def create(name: str | None, driver: str, opt: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Make a volume; print its name."""
    body = parsing.drop_empty(
        {
            "Name": name,
            "Driver": driver,
            "DriverOpts": parsing.pairs(opt, "--opt"),
            "Labels": parsing.labels(labels),
        }
    )
    click.echo(client().post("/volumes/create", body)["Name"])


@click.command(name="ls", epilog="\b\nExamples:\n  NAME volume ls\n  NAME volume ls -q")
@listing
def list_(filter_: tuple[str, ...], quiet: bool, template: str, as_json: bool) -> None:
    """List volumes."""
    found = client().get("/volumes", filters=filters(filter_))["Volumes"] or []
    rows = [
        {
            "Driver": item["Driver"],
            "Name": item["Name"],
            "Mountpoint": item["Mountpoint"],
            "Scope": item["Scope"],
            "Labels": ",".join(f"{k}={v}" for k, v in sorted((item["Labels"] or {}).items())),
        }
        for item in found
    ]
    columns = {"DRIVER": "Driver", "VOLUME NAME": "Name"}
    table.show(columns, rows, quiet="Name" if quiet else "", template=template, raw=found, as_json=as_json)


@click.command(name="rm", epilog="\b\nExample:\n  NAME volume rm data")
@click.option("-f", "--force", is_flag=True, help="No error for what is not there.")
@click.argument("names", nargs=-1, required=True, metavar="VOLUME...", shell_complete=names("volume"))
def remove(names: tuple[str, ...], force: bool) -> int:
    """Remove volumes that no container uses."""
    api = client()
    return each(names, lambda name: api.delete(f"/volumes/{segment(name)}", force=force))
