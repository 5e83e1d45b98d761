"""`exec`: a further process in a running container."""

from __future__ import annotations

import click

from moby_py.cli.docker import parsing
from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names


@click.command(
    name="exec",
    context_settings={"allow_interspersed_args": False},
    epilog="\b\nExamples:\n  NAME exec -it web sh\n  NAME exec -u nobody -e A=1 web env",
)
@click.option("-i", "--interactive", is_flag=True, help="Keep stdin open.")
@click.option("-t", "--tty", is_flag=True, help="A terminal.")
@click.option("-d", "--detach", is_flag=True, help="Do not stay.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="Read environment variables from a file.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Run as this user.")
@click.option("-w", "--workdir", default="", metavar="DIR", help="Working directory.")
@click.option("--privileged", is_flag=True, help="All capabilities.")
@click.option("--detach-keys", default="", metavar="KEYS", help="Instead of ctrl-p,ctrl-q.")
@click.argument("container", shell_complete=names("container"))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    detach: bool,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    user: str,
    workdir: str,
    privileged: bool,
    detach_keys: str,
) -> int:
    """Run a command in a running container. The exit status is its own."""
    from moby_py.cli.docker.terminal import size
    from moby_py.detach_keys import parse

    api = client()
    stdin = interactive and not detach
    if tty and stdin and size(0) is None:
        raise click.UsageError("the input device is not a TTY - leave out -t, or run it in a terminal")
    body = parsing.drop_empty(
        {
            "AttachStdin": stdin,
            "AttachStdout": not detach,
            "AttachStderr": not detach,
            "Tty": tty,
            "Env": parsing.environment(env, env_file),
            "Cmd": list(command),
            "User": user,
            "WorkingDir": workdir,
            "Privileged": privileged,
            "DetachKeys": detach_keys,
        }
    )
    console = (size(1) or size(0)) if tty else None
    if console:
        body["ConsoleSize"] = list(console)
    id = api.post(f"/containers/{segment(container)}/exec", body)["Id"]
    begin = parsing.drop_empty({"Detach": detach, "Tty": tty, "ConsoleSize": list(console or ())})
    if detach:
        api.post(f"/exec/{id}/start", begin)
        return 0
    from moby_py.cli.docker.session import Session

    stream = api.send("POST", f"/exec/{id}/start", json_body=begin, upgrade=True)
    session = Session(
        stream,
        tty=tty,
        stdin=stdin,
        detach_keys=parse(detach_keys),
        resize=lambda height, width: api.post(f"/exec/{id}/resize", h=height, w=width),
    )
    session.run()
    if session.detached:
        return 0
    return int(api.get(f"/exec/{id}/json")["ExitCode"] or 0)
