"""`attach`: join a running container's output and input."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names
from moby_py.errors import Conflict


@click.command(epilog="\b\nExample:\n  NAME attach web        (ctrl-p ctrl-q leaves a terminal)")
@click.option("--no-stdin", is_flag=True, help="Only look.")
@click.option("--detach-keys", default="", metavar="KEYS", help="Instead of ctrl-p,ctrl-q.")
@click.option("--sig-proxy/--no-sig-proxy", default=True, help="Pass signals on (without a terminal).")
@click.argument("container", shell_complete=names("container"))
def attach(container: str, no_stdin: bool, detach_keys: str, sig_proxy: bool) -> int:
    """Join a running container. The exit status is its own, 0 after detaching."""
    from moby_py.cli.docker.session import Session
    from moby_py.detach_keys import parse

    api = client()
    found = api.get(f"/containers/{segment(container)}/json")
    id, tty = found["Id"], found["Config"]["Tty"]
    if found["State"]["Status"] != "running":
        word = found["State"]["Status"]
        way = "unpause" if word == "paused" else "start"
        raise Conflict(f"cannot attach to {container} - it is {word}", hint=f"{way} it first")
    stdin = not no_stdin and found["Config"]["OpenStdin"]
    waiting = api.send("POST", f"/containers/{id}/wait", query={})
    stream = api.send(
        "POST",
        f"/containers/{id}/attach",
        query={"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": detach_keys},
        upgrade=True,
    )
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        waiting=waiting,
        detach_keys=parse(detach_keys),
        resize=lambda height, width: api.post(f"/containers/{id}/resize", h=height, w=width),
        kill=(lambda name: api.post(f"/containers/{id}/kill", signal=name))
        if sig_proxy and not tty
        else None,
    )
    session.run()
    return session.exit_code or 0
