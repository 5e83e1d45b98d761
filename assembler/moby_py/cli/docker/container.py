"""Creating a container as `run` and `create` do: missing images are pulled once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from moby_py.cli.docker.client import ApiError, Client
from moby_py.cli.docker.pull import fetch
from moby_py.errors import MobyError


def create(api: Client, body: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Returns the id. Raises ApiError (404 when the image is nowhere), click.UsageError."""
    query = {"name": options["name"], "platform": options["platform"]}
    cidfile = CidFile(options["cidfile"]) if options["cidfile"] else None
    try:
        if options["pull"] == "always":
            fetch(api, body["Image"], platform=options["platform"], err=True)
        try:
            made = api.post("/containers/create", dict(body), **query)
        except ApiError as error:
            missing = error.status == 404 and "image" in error.message.lower()
            if not missing or options["pull"] != "missing":
                raise
            print(f"Unable to find image '{shown(body['Image'])}' locally", file=sys.stderr)
            fetch(api, body["Image"], platform=options["platform"], err=True)
            made = api.post("/containers/create", dict(body), **query)
    except BaseException:
        if cidfile is not None:
            cidfile.drop()
        raise
    for warning in made.get("Warnings") or ():
        click.echo(f"warning: {warning}", err=True)
    if cidfile is not None:
        cidfile.write(made["Id"])
    return str(made["Id"])


def shown(image: str) -> str:
    from moby_py.reference import parse

    try:
        return parse(image).familiar()
    except MobyError:
        return image


class CidFile:
    """A file that must not be there yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise MobyError(
                f"container id file {path} found - it belongs to another container",
                hint="remove it or name another file",
            ) from None
        except OSError as error:
            raise MobyError(f"cannot write the container id to {path} - {error.strerror}") from None

    def write(self, id: str) -> None:
        os.write(self._fd, id.encode())
        os.close(self._fd)

    def drop(self) -> None:
        os.close(self._fd)
        os.unlink(self._path)  # noqa: PTH108 - a path as the user gave it
