"""`save`, `load`, `import`: images as tar files."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from moby_py.cli.docker import progress
from moby_py.cli.docker.client import client
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.http import Response
from moby_py.errors import MobyError

PIECE = 1024 * 1024


@click.command(
    epilog="\b\nExamples:\n  NAME save -o alpine.tar alpine:3\n  NAME save alpine:3 | gzip > alpine.tar.gz"
)
@click.option("-o", "--output", default="", metavar="FILE", help="Write here instead of stdout.")
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...", shell_complete=names("image"))
def save(names: tuple[str, ...], output: str) -> None:
    """Write images to a tar file. It is OCI layout and docker-archive in one."""
    if not output and sys.stdout.isatty():
        raise MobyError("will not write a tar file to a terminal - redirect it", hint="save -o FILE IMAGE")
    response = client().send("GET", "/images/get", query={"names": list(names)})
    keep(response, output)


def keep(response: Response, output: str) -> None:
    """Write an answer to a file, whole or not at all; "": to stdout."""
    try:
        if not output:
            for piece in response.pieces():
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        part = Path(output + ".part")
        try:
            with part.open("wb") as file:
                file.writelines(response.pieces())
            part.replace(output)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    finally:
        response.close()


@click.command(epilog="\b\nExamples:\n  NAME load -i alpine.tar\n  NAME load < alpine.tar.gz")
@click.option("-i", "--input", "input_", default="", metavar="FILE", help="Read here instead of stdin.")
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
def load(input_: str, quiet: bool) -> None:
    """Take images out of a tar file, plain or compressed."""
    with source(input_, "load -i FILE") as file:
        steps = client().objects(
            "POST",
            "/images/load",
            query={"quiet": "1" if quiet else "0"},
            body=pieces(file) if quiet else progress.counted(pieces(file), length(file)),
            headers={"Content-Type": "application/x-tar"},
        )
        progress.show(steps)


@click.command(name="import", epilog="\b\nExample:\n  NAME import -c 'CMD [\"/bin/sh\"]' rootfs.tar mine:1")
@click.option("-c", "--change", "changes", multiple=True, help="A Dockerfile instruction (CMD, ENV, ...).")
@click.option("-m", "--message", default="", help="For the image's history.")
@click.argument("file", metavar="FILE|-")
@click.argument("name", required=False)
def import_(file: str, name: str | None, changes: tuple[str, ...], message: str) -> None:
    """Make an image with one layer out of a tar file of a file system."""
    from moby_py.reference import parse

    reference = parse(name) if name else None
    with source("" if file == "-" else file, "import FILE NAME") as opened:
        steps = client().objects(
            "POST",
            "/images/create",
            query={
                "fromSrc": "-",
                "repo": reference.familiar_name() if reference else "",
                "tag": reference.tag if reference else "",
                "message": message,
                "changes": list(changes),
            },
            body=pieces(opened),
            headers={"Content-Type": "application/x-tar"},
        )
        progress.show(steps)


def source(path: str, way: str) -> BinaryIO:
    if path:
        try:
            return Path(path).open("rb")
        except OSError as error:
            raise MobyError(f"cannot read {path} - {error.strerror}") from None
    if sys.stdin.isatty():
        raise MobyError("no file given and stdin is a terminal - nothing to read", hint=way)
    return sys.stdin.buffer


def pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def length(file: BinaryIO) -> int:
    """Of a regular file; 0 where nobody knows."""
    found = os.fstat(file.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
