"""`update`: change limits of containers."""

from __future__ import annotations

import click

from moby_py.cli.docker import parsing
from moby_py.cli.docker.client import client, segment
from moby_py.cli.docker.complete import names
from moby_py.cli.docker.each import each


@click.command(epilog="\b\nExample:\n  NAME update -m 256m --cpus 0.5 web")
@click.option("-m", "--memory", default="", metavar="SIZE", help="Memory limit.")
@click.option("--memory-swap", default="", metavar="SIZE", help="Memory plus swap; -1 for any.")
@click.option("--memory-reservation", default="", metavar="SIZE", help="Soft memory limit.")
@click.option("--cpus", type=float, metavar="N", help="So many CPUs.")
@click.option("-c", "--cpu-shares", type=int, metavar="N", help="Share of CPU against others.")
@click.option("--cpuset-cpus", default="", metavar="LIST", help="Only these CPUs.")
@click.option("--pids-limit", type=int, metavar="N", help="Most processes; -1 for any.")
@click.option("--restart", default="", metavar="POLICY", help="no, always, unless-stopped, on-failure[:N].")
@click.argument(
    "containers", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=names("container")
)
def update(
    containers: tuple[str, ...],
    memory: str,
    memory_swap: str,
    memory_reservation: str,
    cpus: float | None,
    cpu_shares: int | None,
    cpuset_cpus: str,
    pids_limit: int | None,
    restart: str,
) -> int:
    """Change limits and the restart policy of containers."""
    api = client()
    body = parsing.drop_empty(
        {
            "Memory": parsing.size(memory, "--memory") if memory else 0,
            "MemorySwap": parsing.size(memory_swap, "--memory-swap") if memory_swap else 0,
            "MemoryReservation": parsing.size(memory_reservation, "--memory-reservation")
            if memory_reservation
            else 0,
            "NanoCpus": round(cpus * 10**9) if cpus else 0,
            "CpuShares": cpu_shares,
            "CpusetCpus": cpuset_cpus,
            "PidsLimit": pids_limit,
            "RestartPolicy": parsing.restart(restart) if restart else None,
        }
    )
    if not body:
        raise click.UsageError("nothing to change - name at least one limit or --restart")

    def change(name: str) -> None:
        answer = api.post(f"/containers/{segment(name)}/update", body)
        for warning in answer.get("Warnings") or ():
            click.echo(f"warning: {warning}", err=True)

    return each(containers, change)
