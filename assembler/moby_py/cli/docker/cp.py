"""`cp`: files into a container and out of it, running or not."""

from __future__ import annotations

import base64
import json
import os
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from moby_py.cli.docker.client import ApiError, Client, client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import InvalidArgument, MobyError

GO_DIR, GO_LINK = 1 << 31, 1 << 27
STAT = "x-docker-container-path-stat"
PIECE = 1 << 20


@click.command(
    epilog="\b\nExamples:\n  NAME cp web:/etc/nginx ./conf\n  NAME cp ./index.html web:/srv/\n"
    "  NAME cp web:/var/log - | tar t\n  tar c . | NAME cp - web:/srv"
)
@click.option("-a", "--archive", is_flag=True, help="Keep owners, set-id bits and devices.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link in SOURCE points at.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted: nothing is said anyway.")
@click.argument("source", metavar="CONTAINER:PATH|PATH|-", shell_complete=names("container"))
@click.argument("target", metavar="CONTAINER:PATH|PATH|-", shell_complete=names("container"))
def cp(source: str, target: str, archive: bool, follow_link: bool, quiet: bool) -> None:
    """Copy files between a container and here.

    A folder ending in `/.` means its content, `-` a tar on stdin or stdout. A target that exists
    as a folder gets the source in it.
    """
    del quiet
    inside, outside = _split(source), _split(target)
    if inside[0] and outside[0]:
        raise InvalidArgument("copying between containers is not supported")
    if not inside[0] and not outside[0]:
        raise InvalidArgument("must specify at least one container source", hint="write CONTAINER:PATH")
    if inside[0]:
        _out(client(), inside[0], inside[1], outside[1], follow=follow_link, keep=archive)
    else:
        _in(client(), inside[1], outside[0], outside[1], follow=follow_link, keep=archive)


def _split(text: str) -> tuple[str, str]:
    """("container", "path"), ("", "path") for a local one: absolute, or beginning with a dot."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        return "", text
    return name, path


def _out(api: Client, name: str, path: str, target: str, *, follow: bool, keep: bool) -> None:
    rename = ""
    if follow:
        found = _stat(api, name, path)
        if found["mode"] & GO_LINK:
            rename, path = _base(path), found["linkTarget"]
    place = f"/containers/{segment(name)}/archive"
    if target == "-":
        if sys.stdout.isatty():
            raise MobyError("will not write a tar file to a terminal - redirect it", hint="cp ... - | tar t")
        _copy(api, place, path)
        return
    answer = api.send("GET", place, query={"path": path})
    try:
        found = _decoded(answer.headers)
        base = found["name"]
        folder, new = _local_target(target, is_folder=bool(found["mode"] & GO_DIR), base=rename or base)
        changed = (base, new) if new and new != base else None
        from moby_py.cli.docker.local_unpack import unpack

        try:
            for left in unpack(answer.pieces(), folder, rename=changed, keep=keep):
                click.echo(f"left out {left!r} - a device node; with -a and as root it is made", err=True)
        except OSError as error:
            raise MobyError(f"cannot copy to {target} - {error.strerror or error}") from error
    finally:
        answer.close()


def _copy(api: Client, place: str, path: str) -> None:
    answer = api.send("GET", place, query={"path": path})
    try:
        for piece in answer.pieces():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    finally:
        answer.close()


def _local_target(target: str, *, is_folder: bool, base: str) -> tuple[Path, str]:
    """(the folder to unpack into, the name that the source gets there; "" leaves its content nameless)."""
    if Path(target).is_dir():
        return Path(target), "" if base in (".", "/") else base
    real = Path(os.path.realpath(target))
    if real.exists():
        if is_folder:
            raise MobyError("cannot copy directory", hint=f"{target} is a file")
    elif target.endswith("/") and not is_folder:
        raise MobyError("no such directory", hint=f"mkdir {target}")
    if not real.parent.is_dir():
        raise MobyError(
            f'invalid output path: directory "{real.parent}" does not exist', hint=f"mkdir -p {real.parent}"
        )
    return real.parent, real.name


def _in(api: Client, source: str, name: str, path: str, *, follow: bool, keep: bool) -> None:
    there = _target_stat(api, name, path)
    is_folder = bool(there and there[1]["mode"] & GO_DIR)
    place = there[0] if there else path
    query = {"noOverwriteDirNonDir": "true", "copyUIDGID": "true" if keep else ""}
    if source == "-":
        if not is_folder:
            raise MobyError(f'destination "{name}:{path}" must be a directory')
        _put(api, name, {**query, "path": place}, _stdin())
        return
    from moby_py.cli.docker.local_pack import pack

    through = follow or source.endswith(("/", "/."))
    real = Path(os.path.realpath(source)) if through else Path(source)
    if not (real.exists() or real.is_symlink()):
        raise MobyError(f"lstat {source}: no such file or directory")
    local_folder = real.is_dir() and not real.is_symlink()
    base = "." if _base(source) == "." else Path(source).absolute().name or "/"
    if base == "..":
        base = real.resolve().name
    if is_folder:
        folder = place
    else:
        if there and local_folder:
            raise MobyError("cannot copy directory", hint=f"{name}:{path} is a file")
        if not there and path.endswith("/") and not local_folder:
            raise MobyError("no such directory", hint=f"{name}:{path} does not exist")
        folder, base = posixpath.split(place.rstrip("/"))
    try:
        _put(api, name, {**query, "path": folder or "/"}, pack(real, base))
    except OSError as error:
        raise MobyError(f"cannot read {source} - {error.strerror or error}") from error


def _put(api: Client, name: str, query: dict[str, str], body: Iterator[bytes]) -> None:
    api.send(
        "PUT",
        f"/containers/{segment(name)}/archive",
        query=query,
        body=body,
        headers={"Content-Type": "application/x-tar"},
    ).close()


def _stdin() -> Iterator[bytes]:
    if sys.stdin.isatty():
        raise MobyError("stdin is a terminal - nothing to read", hint="tar c . | NAME cp - CONTAINER:PATH")
    while piece := os.read(sys.stdin.fileno(), PIECE):
        yield piece


def _target_stat(api: Client, name: str, path: str) -> tuple[str, dict[str, Any]] | None:
    """(path, stat) of what is there, links followed; None where nothing is."""
    for _ in range(2):
        try:
            found = _stat(api, name, path)
        except ApiError as error:
            if error.status == 404 and "could not find the file" in error.message.lower():
                return None
            raise
        if not found["mode"] & GO_LINK:
            return path, found
        path = found["linkTarget"]
    return None


def _stat(api: Client, name: str, path: str) -> dict[str, Any]:
    place = f"/containers/{segment(name)}/archive"
    try:
        answer = api.send("HEAD", place, query={"path": path})
    except ApiError:
        answer = api.send("GET", place, query={"path": path})  # HEAD's answer has no room for the reason
    answer.close()
    return _decoded(answer.headers)


def _decoded(headers: dict[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(base64.b64decode(headers[STAT]))
        return {**found, "mode": int(found["mode"]), "name": str(found["name"])}
    except (KeyError, ValueError, TypeError) as error:
        raise MobyError(f"the platform said nothing usable about the file - {error}") from None


def _base(path: str) -> str:
    """The last part; "." of a path that ends in it, "/" of the root."""
    if path.endswith("/.") or path == ".":
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"
