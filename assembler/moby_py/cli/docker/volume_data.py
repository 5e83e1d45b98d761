"""`volume export|import|clone`: a volume's data as a file, from a file, and as another volume."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, BinaryIO

import click

from moby_py.cli.docker import progress
from moby_py.cli.docker.archive import length, pieces, source
from moby_py.cli.docker.client import ApiError, client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import MobyError

_SUFFIXES = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}


@click.command(
    epilog="\b\nExamples:\n  NAME volume export -o data.tar.gz data\n"
    "  NAME volume export data | ssh host 'cat > data.tar'"
)
@click.option(
    "-o",
    "--output",
    default="",
    metavar="FILE",
    help="Write here instead of stdout; FILE.gz and FILE.zst are compressed.",
)
@click.argument("volume", shell_complete=names("volume"))
def export(volume: str, output: str) -> None:
    """Write a volume's data to a tar file.

    Owners, modes, times, links and extended attributes are kept. While containers use the volume, what
    they change meanwhile may be half in it.
    """
    if not output and sys.stdout.isatty():
        raise MobyError(
            "will not write a tar file to a terminal - redirect it", hint="volume export -o FILE VOLUME"
        )
    api = client()
    using = _users(api, volume)
    if using:
        click.echo(
            f"note: {volume} is in use by {', '.join(using)} - what they change meanwhile may be half in it",
            err=True,
        )
    response = api.send("GET", f"/volumes/{segment(volume)}/export")
    try:
        told = progress.counted(response.pieces(), 0, "Received")
        if not output:
            for piece in told:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        part = Path(output + ".part")
        try:
            with _compressed(part, Path(output).suffix) as file:
                for piece in told:
                    file.write(piece)
            part.replace(output)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, OSError) and not isinstance(error, ConnectionError):
                raise MobyError(f"cannot write {output} - {error.strerror or error}") from None
            raise
    finally:
        response.close()


@click.command(
    name="import",
    epilog="\b\nExamples:\n  NAME volume import data data.tar.gz\n"
    "  NAME volume export data | NAME volume import copy",
)
@click.argument("volume")
@click.argument("file", required=False, default="-", metavar="[FILE|-]")
def import_(volume: str, file: str) -> None:
    """Make a volume, or fill an empty one, from a tar file, plain or compressed; print its name.

    All or nothing: what is no good, or too much, leaves no volume behind.
    """
    with source("" if file == "-" else file, "volume import VOLUME FILE") as opened:
        made = client().call(
            "PUT",
            f"/volumes/{segment(volume)}/import",
            body=progress.counted(pieces(opened), length(opened)),
            headers={"Content-Type": "application/x-tar"},
        )
    click.echo(made["Name"])


@click.command(epilog="\b\nExample:\n  NAME volume clone data data-before-update")
@click.argument("volume", shell_complete=names("volume"))
@click.argument("new")
def clone(volume: str, new: str) -> None:
    """Make a new volume with a copy of the data; print its name.

    Driver, options and labels are the same. File systems that can share blocks do so.
    """
    click.echo(client().post(f"/volumes/{segment(volume)}/clone", {"Name": new})["Name"])


def _users(api: Any, volume: str) -> list[str]:
    """Names of running containers with the volume; none where that cannot be asked."""
    import json

    try:
        wanted = json.dumps({"volume": [volume], "status": ["running", "paused"]})
        found = api.get("/containers/json", filters=wanted)
    except ApiError:
        return []
    return sorted(
        item["Names"][0].removeprefix("/")
        for item in found or ()
        if any(mount.get("Name") == volume for mount in item.get("Mounts") or ())
    )


def _compressed(path: Path, suffix: str) -> BinaryIO:
    """The file, compressed as its name says. Raises MobyError where this Python cannot."""
    how = _SUFFIXES.get(suffix)
    if how == "gzip":
        import gzip

        return gzip.GzipFile(path, "wb", mtime=0)  # type: ignore[return-value]
    if how == "zstd":
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from backports import zstd
        return zstd.ZstdFile(path, "wb")  # type: ignore[return-value,no-any-return,unused-ignore]
    return path.open("wb")
