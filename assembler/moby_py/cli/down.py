"""`moby-py down`: stop a running platform."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    epilog="\b\nExamples:\n  moby-py down out\n"
    "  moby-py down --keep-containers out   stop the daemon only; `up` adopts what runs"
)
@click.argument("directory", default="out", metavar="[OUT]", type=click.Path())
@click.option("--keep-containers", is_flag=True, help="Leave the containers running.")
@click.option("--state", metavar="DIR", help="Where its state lives, if it cannot be found.")
@click.option("--run", "run_", metavar="DIR", help="Where its run-time files live.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for it to end.")
def down(directory: str, keep_containers: bool, state: str | None, run_: str | None, timeout: float) -> None:
    """Stop the platform in OUT. Its containers first, then its parts, in reverse order."""
    import os
    import select
    import signal

    from moby_py.cli.status import daemon
    from moby_py.errors import MobyError, PermissionDenied
    from moby_py.platform import load

    built = load(directory, state=state, run=run_, anyones=True)
    record = daemon(built)
    if record is None:
        click.echo(f"{built.name} is not up")
        if not keep_containers:
            _end_services(built.run)
    else:
        pid = int(record["pid"])
        handle = os.pidfd_open(pid)
        try:
            try:
                signal.pidfd_send_signal(handle, signal.SIGUSR1 if keep_containers else signal.SIGTERM)
            except PermissionError:
                raise PermissionDenied(
                    f"cannot stop {built.name} - its daemon (pid {pid}) belongs to another user",
                    hint="run moby-py down as the user who started it",
                ) from None
            ready, _, _ = select.select([handle], [], [], timeout)
        finally:
            os.close(handle)
        if not ready:
            raise MobyError(
                f"{built.name} is still stopping after {timeout:g} s - daemon pid {pid}",
                hint=f"moby-py logs {built.directory}",
            )
        click.echo(f"{built.name} is down" + (" (its containers run on)" if keep_containers else ""))
    if os.geteuid() != 0 and not keep_containers:
        from moby_py.rootless import leave

        leave(built.run)


def _end_services(run: Path) -> None:
    """What a daemon that was killed left running beside the containers."""
    from moby_py.errors import PermissionDenied
    from moby_py.survivors import end_all

    try:
        for name in end_all(run):
            click.echo(f"ended service {name}, which its daemon had left")
    except PermissionError:
        raise PermissionDenied(
            f"cannot look for services in {run} - they belong to another user",
            hint="run moby-py down as the user who started it",
        ) from None
