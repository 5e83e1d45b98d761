"""`moby-py check`: does this host have what a blueprint needs?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from moby_py.cli.options import blueprint_options

if TYPE_CHECKING:
    from moby_py.assembly import Plan
    from moby_py.host import HostReport

COLOURS = {"ok": "green", "warn": "yellow", "missing": "red"}


@click.command(
    epilog="\b\nExamples:\n  moby-py check                     what this host can do\n"
    "  moby-py check blueprint.yaml      what the blueprint needs of it\n"
    "  moby-py check blueprint.yaml --set components.runtime=crun"
)
@click.argument("blueprint", required=False, metavar="[BLUEPRINT]", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
@blueprint_options
def check(
    blueprint: str | None,
    as_json: bool,
    sets: tuple[str, ...],
    variables: dict[str, str],
    plugins: tuple[str, ...],
) -> int:
    """Check a blueprint and this host. Without a BLUEPRINT show what the host can do.

    Exit status 0: it would run; 2: the blueprint is wrong; 3: the host lacks something.
    """
    from moby_py.assembly import Request, plan
    from moby_py.cli.text import with_problems_as_json
    from moby_py.host import check_host, host_facts

    made = None
    if blueprint is None:
        if sets or variables or plugins:
            raise click.UsageError("--set, --var and --plugin need a BLUEPRINT")
        report = host_facts()
    else:
        request = Request(blueprint, sets, variables, plugins)
        made = with_problems_as_json(as_json, lambda: plan(request))
        report = check_host(made.wiring)
    _show(made, report, as_json=as_json)
    return 3 if report.missing else 0


def _show(made: Plan | None, report: HostReport, *, as_json: bool) -> None:
    from moby_py.cli.text import columns, echo_json, parts_line

    if as_json:
        echo_json(
            {
                "name": made.blueprint.name if made else None,
                "problems": [],
                "findings": [finding.as_json() for finding in report.findings],
            }
        )
        return
    if made:
        click.echo(f"{click.style(made.blueprint.name, bold=True)}: {parts_line(made.wiring)}\n")
    # Two probes may come to the same words; they are said once.
    findings = list({(f.status, f.users, f.what): f for f in report.findings}.values())
    named = any(f.users for f in findings)
    rows = [(f.status, *([_short(f.users)] if named else []), f.what) for f in findings]
    for finding, line in zip(findings, columns(rows), strict=True):
        status = finding.status
        click.echo(click.style(status, fg=COLOURS[status]) + line[len(status) :])
        if finding.why and status != "ok":
            click.echo(f"          why: {finding.why}")
        if finding.hint and status != "ok":
            click.echo(f"          hint: {finding.hint}")
    missing, warned = report.missing, [f for f in report.findings if f.status == "warn"]
    if made is None:
        return
    click.echo()
    if missing:
        click.echo(f"this host lacks {len(missing)} of what {made.blueprint.name} needs")
    else:
        tail = f"; {len(warned)} warning{'s' if len(warned) != 1 else ''}" if warned else ""
        click.echo(f"{made.blueprint.name} can be built and run here{tail}")


def _short(users: Sequence[str]) -> str:
    """ "runtime/runc, runtime/crun" as "runtime/runc, crun"; what no part asked for is the host's own."""
    kinds: dict[str, list[str]] = {}
    for user in users:
        kind, _, id = user.partition("/")
        kinds.setdefault(kind, []).append(id)
    return "; ".join(f"{kind}/{', '.join(ids)}" for kind, ids in kinds.items()) or "host"
