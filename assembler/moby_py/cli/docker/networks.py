"""`network create|ls|rm|connect|disconnect`."""

from __future__ import annotations

from typing import Any

import click

from moby_py.cli.docker import parsing, table
from moby_py.cli.docker.client import ApiError, client, filters, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each
from moby_py.cli.docker.options import listing, truncating


@click.command(name="create", epilog="\b\nExample:\n  NAME network create --subnet 10.90.0.0/24 back")
@click.option("-d", "--driver", default="", help="Instead of the platform's own.")
@click.option("--subnet", multiple=True, metavar="CIDR", help="Its addresses.")
@click.option("--gateway", multiple=True, metavar="IP", help="Its gateway, one per subnet.")
@click.option("--ip-range", multiple=True, metavar="CIDR", help="Give addresses of this part only.")
@click.option("--aux-address", multiple=True, metavar="NAME=IP", help="An address that nobody gets.")
@click.option("--ipam-driver", default="", metavar="NAME", help="Who gives out the addresses.")
@click.option("--ipam-opt", multiple=True, metavar="KEY=VALUE", help="An option of that driver.")
@click.option("--internal", is_flag=True, help="No way out.")
@click.option("--attachable", is_flag=True, help="Accepted; every network is.")
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
    aux_address: tuple[str, ...],
    ipam_driver: str,
    ipam_opt: tuple[str, ...],
    internal: bool,
    attachable: bool,
    ipv6: bool,
    opt: tuple[str, ...],
    labels: tuple[str, ...],
) -> None:
    """Make a network; print its id."""
    config = _config(subnet, gateway, ip_range, parsing.pairs(aux_address, "--aux-address"))
    ipam = {"Driver": ipam_driver, "Options": parsing.pairs(ipam_opt, "--ipam-opt"), "Config": config}
    body = parsing.drop_empty(
        {
            "Name": name,
            "Driver": driver,
            "Internal": internal,
            "Attachable": attachable,
            "EnableIPv6": ipv6,
            "IPAM": parsing.drop_empty(ipam) or None,
            "Options": parsing.pairs(opt, "--opt"),
            "Labels": parsing.labels(labels),
        }
    )
    click.echo(client().post("/networks/create", body)["Id"])


def _config(
    subnets: tuple[str, ...], gateways: tuple[str, ...], ranges: tuple[str, ...], auxiliary: dict[str, str]
) -> list[dict[str, Any]]:
    """One entry per subnet; what has an address goes to the subnet that holds it, as docker does."""
    config: list[dict[str, Any]] = [{"Subnet": net} for net in subnets]
    for option, key, values in (("--gateway", "Gateway", gateways), ("--ip-range", "IPRange", ranges)):
        for value in values:
            entry = _holder(config, value, option)
            if key in entry:
                raise click.UsageError(f"two {option} for the subnet {entry['Subnet']}")
            entry[key] = value
    for name, value in auxiliary.items():
        _holder(config, value, "--aux-address").setdefault("AuxiliaryAddresses", {})[name] = value
    return config


def _holder(config: list[dict[str, Any]], value: str, option: str) -> dict[str, Any]:
    import ipaddress

    for entry in config:
        try:
            if ipaddress.ip_interface(value).ip in ipaddress.ip_network(entry["Subnet"]):
                return entry
        except ValueError:
            continue
    raise click.UsageError(f"no matching subnet for {option} {value}")


@click.command(epilog="\b\nExample:\n  NAME network connect --alias db back web")
@click.option("--alias", multiple=True, metavar="NAME", help="A further name on that network.")
@click.option("--ip", default="", metavar="IP", help="Its address there.")
@click.option("--ip6", default="", metavar="IP", help="Its IPv6 address there.")
@click.option("--link", multiple=True, metavar="CONTAINER[:NAME]", help="A name for a neighbour, of its own.")
@click.option("--driver-opt", multiple=True, metavar="KEY=VALUE", help="An option for the driver.")
@click.option("--gw-priority", type=int, default=0, metavar="N", help="The highest has the default route.")
@click.argument("network", shell_complete=names("network"))
@click.argument("container", shell_complete=names("container"))
def connect(
    network: str,
    container: str,
    alias: tuple[str, ...],
    ip: str,
    ip6: str,
    link: tuple[str, ...],
    driver_opt: tuple[str, ...],
    gw_priority: int,
) -> None:
    """Join a container to a further network, at once if it runs."""
    settings = {
        "Aliases": list(alias),
        "IPAMConfig": parsing.drop_empty({"IPv4Address": ip, "IPv6Address": ip6}) or None,
        "Links": list(link),
        "DriverOpts": parsing.pairs(driver_opt, "--driver-opt"),
        "GwPriority": gw_priority,
    }
    body = {"Container": container, "EndpointConfig": parsing.drop_empty(settings)}
    client().post(f"/networks/{segment(network)}/connect", body)


@click.command(epilog="\b\nExample:\n  NAME network disconnect back web")
@click.option("-f", "--force", is_flag=True, help="No error when the container is gone.")
@click.argument("network", shell_complete=names("network"))
@click.argument("container", shell_complete=names("container"))
def disconnect(network: str, container: str, force: bool) -> None:
    """Take a container off a network."""
    client().post(f"/networks/{segment(network)}/disconnect", {"Container": container, "Force": force})


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
            "IPv4": _flag(item.get("EnableIPv4", True)),
            "IPv6": _flag(item["EnableIPv6"]),
            "Internal": _flag(item["Internal"]),
            "CreatedAt": item["Created"],
            "Labels": ",".join(f"{k}={v}" for k, v in sorted((item["Labels"] or {}).items())),
        }
        for item in found
    ]
    columns = {"NETWORK ID": "ID", "NAME": "Name", "DRIVER": "Driver", "SCOPE": "Scope"}
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)


def _flag(value: bool) -> str:
    return "true" if value else "false"


@click.command(name="rm", epilog="\b\nExample:\n  NAME network rm back")
@click.option("-f", "--force", is_flag=True, help="No error for what is not there.")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...", shell_complete=names("network"))
def remove(names: tuple[str, ...], force: bool) -> int:
    """Remove networks that nothing is attached to."""
    api = client()

    def one(name: str) -> None:
        try:
            api.delete(f"/networks/{segment(name)}")
        except ApiError as error:
            if not (force and error.status == 404):
                raise

    return each(names, one)
