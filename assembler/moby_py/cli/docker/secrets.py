"""`secret create|update|ls|rm`. The value comes from a file or stdin, never from the command line."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import click

from moby_py.cli.docker import parsing, table
from moby_py.cli.docker.client import client, filters, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each
from moby_py.cli.docker.options import listing
from moby_py.errors import InvalidArgument, MobyError

LIMIT = 500 * 1024


@click.command(
    name="create",
    epilog="\b\nExamples:\n  NAME secret create db_password ./password.txt\n"
    "  pass show db | NAME secret create db_password -",
)
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="A label.")
@click.argument("name")
@click.argument("file", metavar="FILE|-")
def create(name: str, file: str, labels: tuple[str, ...]) -> None:
    """Keep a secret, read from FILE or stdin; print its id."""
    body = {"Name": name, "Labels": parsing.labels(labels), "Data": _value(file)}
    click.echo(client().post("/secrets/create", body)["ID"])


@click.command(name="update", epilog="\b\nExample:\n  NAME secret update db_password ./new-password.txt")
@click.argument("name")
@click.argument("file", metavar="FILE|-")
def update(name: str, file: str) -> None:
    """Give a secret a new value; containers see it at their next start."""
    api = client()
    now = api.get(f"/secrets/{segment(name)}")
    body = {**now["Spec"], "Data": _value(file)}
    api.post(f"/secrets/{now['ID']}/update", body, version=now["Version"]["Index"])
    click.echo(now["ID"])


def _value(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        typed = click.prompt("secret", hide_input=True, err=True, prompt_suffix=" (not shown): ")
        return base64.b64encode(str(typed).encode()).decode()
    try:
        with sys.stdin.buffer if file == "-" else Path(file).open("rb") as source:
            data = source.read(LIMIT + 1)
    except OSError as error:
        raise MobyError(f"cannot read the secret from {file} - {error.strerror}") from None
    if not data or len(data) > LIMIT:
        raise InvalidArgument(f"a secret has between 1 and {LIMIT} bytes - this one has not")
    return base64.b64encode(data).decode()


@click.command(
    name="ls", epilog="\b\nExamples:\n  NAME secret ls\n  NAME secret ls -q --filter label=app=shop"
)
@listing
def list_(filter_: tuple[str, ...], quiet: bool, template: str, as_json: bool) -> None:
    """List secrets (never their values)."""
    found = client().get("/secrets", filters=filters(filter_))
    rows = [
        {
            "ID": item["ID"],
            "Name": item["Spec"]["Name"],
            "Driver": "",
            "CreatedAt": table.ago(item["CreatedAt"]),
            "UpdatedAt": table.ago(item["UpdatedAt"]),
            "Labels": ",".join(f"{k}={v}" for k, v in sorted((item["Spec"].get("Labels") or {}).items())),
        }
        for item in found
    ]
    columns = {
        "ID": "ID",
        "NAME": "Name",
        "DRIVER": "Driver",
        "CREATED": "CreatedAt",
        "UPDATED": "UpdatedAt",
    }
    table.show(columns, rows, quiet="ID" if quiet else "", template=template, raw=found, as_json=as_json)


@click.command(name="rm", epilog="\b\nExample:\n  NAME secret rm db_password")
@click.argument("names", nargs=-1, required=True, metavar="SECRET...", shell_complete=names("secret"))
def remove(names: tuple[str, ...]) -> int:
    """Remove secrets."""
    api = client()
    return each(names, lambda name: api.delete(f"/secrets/{segment(name)}"))
