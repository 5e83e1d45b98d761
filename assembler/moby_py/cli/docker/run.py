"""`run`: create, attach, wait, start - in this order, so that no byte and no exit code is missed."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from moby_py.cli.docker.client import ApiError, Client, client, with_status
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.create_body import create_body
from moby_py.cli.docker.create_options import create_options
from moby_py.errors import MobyError


class RunCommand(click.Command):
    """A wrong option of `run` is 125, like all that goes wrong before the container's own process."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as error:
            error.exit_code = 125  # type: ignore[misc]
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.exit_code = 125  # type: ignore[misc]
            raise
        except MobyError as error:
            raise with_status(error, failure(error)) from None


def failure(error: MobyError) -> int:
    """Docker's rule: 127 not found, 126 cannot be executed, 125 everything else before the start.
    Only a start's error says so."""
    return getattr(error, "start_status", 125)


def start_status(text: str) -> int:
    """By the words of the runtime, which every runtime keeps."""
    low = text.lower()
    if any(words in low for words in ("executable file not found", "no such file or directory")):
        return 127
    if any(words in low for words in ("permission denied", "is a directory", "exec format error")):
        return 126
    return 125


@click.command(
    cls=RunCommand,
    context_settings={"allow_interspersed_args": False, "help_option_names": ["--help"]},
    epilog="\b\nExamples:\n  NAME run --rm alpine echo hello\n  NAME run -it --rm alpine sh\n"
    "  NAME run -d --name web -p 8080:80 --restart always nginx\n  NAME run --rm --secret db_password alpine "
    "cat /run/secrets/db_password",
)
@click.option("-d", "--detach", is_flag=True, help="Do not stay; print the id.")
@click.option("--detach-keys", default="", metavar="KEYS", help="Instead of ctrl-p,ctrl-q.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on (without -t).")
@create_options
@click.argument("image", shell_complete=names("image"))
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(
    image: str, command: tuple[str, ...], detach: bool, detach_keys: str, sig_proxy: bool, **options: Any
) -> int:
    """Run a command in a new container. The exit status is its own."""
    from moby_py.cli.docker import container

    api = client()
    if not detach:
        from moby_py.cli.docker.terminal import size
        from moby_py.detach_keys import parse

        keys = parse(detach_keys)
        if options["tty"] and options["interactive"] and size(0) is None:
            raise click.UsageError("the input device is not a TTY - leave out -t, or run it in a terminal")
    body = create_body(options, image, command)
    if not detach:
        body["AttachStdout"] = body["AttachStderr"] = True
        if options["interactive"]:
            body["AttachStdin"] = body["StdinOnce"] = True
        if options["tty"]:
            console = size(1) or size(0)
            if console:
                body["HostConfig"]["ConsoleSize"] = list(console)
    id = container.create(api, body, options)
    if detach:
        begin(api, id, remove=options["rm"])
        click.echo(id)
        return 0
    return attached(api, id, options, keys, sig_proxy)


def begin(api: Client, id: str, *, remove: bool = False) -> None:
    """Start it. What cannot be started leaves nothing behind where --rm was given."""
    try:
        api.post(f"/containers/{id}/start")
    except ApiError as error:
        if remove:
            with contextlib.suppress(ApiError):
                api.delete(f"/containers/{id}", force=True)
        error.start_status = start_status(error.message)  # type: ignore[attr-defined]
        raise


def attached(api: Client, id: str, options: dict[str, Any], keys: bytes, sig_proxy: bool) -> int:
    from moby_py.cli.docker.session import Session

    stdin, tty = options["interactive"], options["tty"]
    stream = api.send(
        "POST",
        f"/containers/{id}/attach",
        query={"stream": True, "stdin": stdin, "stdout": True, "stderr": True},
        upgrade=True,
    )
    condition = "removed" if options["rm"] else "next-exit"
    waiting = api.send("POST", f"/containers/{id}/wait", query={"condition": condition})
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        waiting=waiting,
        detach_keys=keys,
        resize=lambda height, width: api.post(f"/containers/{id}/resize", h=height, w=width),
        kill=(lambda name: api.post(f"/containers/{id}/kill", signal=name))
        if sig_proxy and not tty
        else None,
    )
    session.run(lambda: begin(api, id, remove=options["rm"]))
    if session.error:
        raise MobyError(f"container {id[:12]} ended with an error - {session.error}")
    return session.exit_code or 0
