"""Commands that do one thing to each container named."""

from __future__ import annotations

import click

from moby_py.cli.docker.client import ApiError, client, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each

containers_ = click.argument(
    "containers", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=names("container")
)


@click.command(epilog="\b\nExamples:\n  NAME stop web\n  NAME stop -t 2 web db")
@click.option("-t", "--time", "timeout", type=int, help="Seconds to wait before SIGKILL (-1: for ever).")
@click.option("-s", "--signal", default="", help="The signal to send first.")
@containers_
def stop(containers: tuple[str, ...], timeout: int | None, signal: str) -> int:
    """Stop containers: their stop signal, a grace period, SIGKILL."""
    api = client()
    return each(
        containers, lambda name: api.post(f"/containers/{segment(name)}/stop", t=timeout, signal=signal)
    )


@click.command(epilog="\b\nExample:\n  NAME restart -t 2 web")
@click.option("-t", "--time", "timeout", type=int, help="Seconds to wait before SIGKILL.")
@click.option("-s", "--signal", default="", help="The signal to send first.")
@containers_
def restart(containers: tuple[str, ...], timeout: int | None, signal: str) -> int:
    """Stop containers and start them again."""
    api = client()
    return each(
        containers, lambda name: api.post(f"/containers/{segment(name)}/restart", t=timeout, signal=signal)
    )


@click.command(epilog="\b\nExample:\n  NAME kill -s HUP web")
@click.option("-s", "--signal", default="", help="Instead of SIGKILL.")
@containers_
def kill(containers: tuple[str, ...], signal: str) -> int:
    """Send a signal to running containers."""
    api = client()
    return each(containers, lambda name: api.post(f"/containers/{segment(name)}/kill", signal=signal))


@click.command(epilog="\b\nExample:\n  NAME pause web")
@containers_
def pause(containers: tuple[str, ...]) -> int:
    """Freeze all processes of containers."""
    api = client()
    return each(containers, lambda name: api.post(f"/containers/{segment(name)}/pause"))


@click.command(epilog="\b\nExample:\n  NAME unpause web")
@containers_
def unpause(containers: tuple[str, ...]) -> int:
    """Let frozen containers go on."""
    api = client()
    return each(containers, lambda name: api.post(f"/containers/{segment(name)}/unpause"))


@click.command(epilog="\b\nExamples:\n  NAME rm web\n  NAME rm -f $(NAME ps -aq)")
@click.option("-f", "--force", is_flag=True, help="Kill what runs; no error for what is not there.")
@click.option("-v", "--volumes", is_flag=True, help="Their anonymous volumes too.")
@containers_
def rm(containers: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers."""
    api = client()

    def remove(name: str) -> None:
        try:
            api.delete(f"/containers/{segment(name)}", force=force, v=volumes)
        except ApiError as error:
            if not (force and error.status == 404):
                raise

    return each(containers, remove)


@click.command(epilog="\b\nExample:\n  NAME wait web")
@containers_
def wait(containers: tuple[str, ...]) -> int:
    """Wait until containers have ended; print their exit codes."""
    api = client()
    return each(
        containers,
        lambda name: click.echo(api.post(f"/containers/{segment(name)}/wait")["StatusCode"]),
        quiet=True,
    )


@click.command(epilog="\b\nExample:\n  NAME rename web shop-web")
@click.argument("container", shell_complete=names("container"))
@click.argument("name")
def rename(container: str, name: str) -> None:
    """Give a container another name."""
    client().post(f"/containers/{segment(container)}/rename", name=name)
