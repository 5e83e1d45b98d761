"""`moby-py up`: start a built platform."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from moby_py.platform import Built


@click.command(
    epilog="\b\nExamples:\n  moby-py up -d out        start in the background, return when the API answers\n"
    "  moby-py up out           stay in the foreground (Ctrl-C stops it)\n"
    "  moby-py up -d --locked out   refuse when a part differs from platform.lock\n"
    "  moby-py up -d --state /data/shop --run /run/shop out     status, down, logs and out/bin/NAME find it"
)
@click.argument("directory", default="out", metavar="[OUT]", type=click.Path())
@click.option("-d", "--detach", is_flag=True, help="Run in the background; return when the API answers.")
@click.option("--locked", is_flag=True, help="Refuse to start when a part differs from platform.lock.")
@click.option("--state", metavar="DIR", help="Where state lives (default: /var/lib/moby-py/NAME).")
@click.option("--run", "run_", metavar="DIR", help="Where run-time files live (default: /run/moby-py/NAME).")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the API with -d.")
def up(
    directory: str, detach: bool, locked: bool, state: str | None, run_: str | None, timeout: float
) -> int | None:
    """Start the platform that `build` wrote into OUT."""
    from moby_py.platform import load

    built = load(directory, state=state, run=run_)
    if locked:
        from moby_py.lock import verify

        verify(built.directory)
    _warn_of_missing(built)
    args = [str(built.directory)]
    if state:
        args += ["--state", str(built.state)]
    if run_:
        args += ["--run", str(built.run)]
    if not detach:
        from moby_py.daemon import main

        return main([*args, "--foreground"])
    endpoints = _start(built, args, timeout)
    click.echo(f"{built.name} is up at {endpoints[0] if endpoints else built.run}")
    if sys.stdout.isatty() and endpoints:
        click.echo(f"  {built.directory}/bin/{built.name} ps        or, for docker and Compose:")
        click.echo(f"  export DOCKER_HOST={endpoints[0]}")
    return None


def _warn_of_missing(built: Built) -> None:
    """A program that is gone since `build` stops only who needs it: what runs is adopted all the same."""
    import os

    from moby_py.cli.text import warn

    for entry in built.lock.get("binaries", ()):
        if not os.access(entry["path"], os.X_OK):
            what = f"{entry['kind']}/{entry['id']}: {entry['path']} is not there any more"
            warn(what, "install it again, or build the platform again")


def _start(built: Built, args: list[str], timeout: float) -> list[str]:
    """Start the daemon in a session of its own and wait for its word. Returns its endpoints."""
    import json
    import os
    import select
    import subprocess

    from moby_py.errors import MobyError

    built.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader, writer = os.pipe()
    with (built.state / "daemon.err").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "moby_py.daemon", *args, "--notify-fd", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            start_new_session=True,
            pass_fds=[writer],
            cwd="/",
        )
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], timeout)
        line = pipe.readline().decode() if ready else ""
    if not ready:
        process.terminate()
        process.wait()
        raise MobyError(
            f"{built.name} did not come up within {timeout:g} s - it has been stopped again",
            hint=f"moby-py logs {built.directory}",
        )
    if line.startswith("ready"):
        process.returncode = 0  # it lives on without us; do not warn about an unreaped child
        return line.split()[1:]
    process.wait()
    if line.startswith("error "):
        detail = json.loads(line[6:])
        error = MobyError(detail["message"], hint=detail["hint"])
        error.exit_status = process.returncode or 1  # type: ignore[misc]
        raise error
    raise MobyError(
        f"{built.name} ended with status {process.returncode} while starting - see {built.state}/daemon.err",
        hint=f"moby-py logs {built.directory}",
    )
