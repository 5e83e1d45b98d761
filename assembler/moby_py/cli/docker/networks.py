"""`network create|ls|rm`."""

from __future__ import annotations

import click

from moby_py.cli.docker import parsing, table
from moby_py.cli.docker.client import client, filters, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each
from moby_py.cli.docker.options import listing, truncating


@click.command(name="create", epilog="\b\nExample:\n  NAME network create --subnet 10.90.0.0/24 back")
@click.option("-d", "--driver", default="", help="Instead of the platform's own.")
@click.option("--subnet", multiple=True, metavar="CIDR", help="Its addresses.")
@click.option("--gateway", multiple=True, metavar="IP", help="Its gateway, one per subnet.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Give addresses of this part only.")
@click.option("--internal", is_flag=True, help="No way out.")
@click.option("--ipv6", is_flag=True, help="IPv6 too.")
@click.option("-o", "--opt", multiple=True, metavar="KEY=VALUE", help="An option of the driver.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label.")
@click.argument("name")
def create(
    name: str,
    driver: str,
    subnet: tuple[str, ...],
    gateway: tuple[str, ...],
    ip_range: tuple[str, ...],
    internal: bool,
    ipv6: bool,
    opt: tuple[str, ...],
    labels: tuple[str, ...],
) -> None:
    """Make a network; print its id."""
    if max(len(gateway), len(ip_range)) > len(subnet):
        raise click.UsageError("every --gateway and --ip-range needs a --subnet")
    config = []
    for n, net in enumerate(subnet):
        entry = {"Subnet": net}
        if n < len(gateway):
            entry["Gateway"] = gateway[n]
        if n < len(ip_range):
            entry["IPRange"] = ip_range[n]
        config.append(entry)
    body = parsing.drop_empty(
        {
            "Name": name,
            "Driver": driver,
            "Internal": internal,
            "EnableIPv6": ipv6,
            "IPAM": {"Config": config} if config else None,
            "Options": parsing.pairs(opt, "--opt"),
            "Labels": parsing.labels(labels),
        }
    )
    click.echo(client().post("/networks/create", body)["Id"])


@click.command(name="ls", epilog="\b\nExamples:\n  NAME network ls\n  NAME network ls -q")
@listing
@truncating
def list_(filter_: tuple[str, ...], quiet: bool, no_trunc: bool, template: str, as_json: bool) -> None:
    """List networks."""
    found = client().get("/networks", filters=filters(filter_))
    rows = [
        {
            "ID": table.short(item["Id"], full=no_trunc),
            "Name": item["Name"],
            "Driver": item["Driver"],
            "Scope": item["Scope"],
            "Internal": "true" if item["Internal"] else "false",
            "Labels": ",".join(f"{k}={v}" for k, v in sorted((item["Labels"] or {}).items())),
        }
        for item in found
    ]
    columns = {"NETWORK ID": "ID", "NAME": "Name", "DRIVER": "Driver", "SCOPE": "Scope"}
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)


@click.command(name="rm", epilog="\b\nExample:\n  NAME network rm back")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...", shell_complete=names("network"))
def remove(names: tuple[str, ...]) -> int:
    """Remove networks that nothing is attached to."""
    api = client()
    return each(names, lambda name: api.delete(f"/networks/{segment(name)}"))
