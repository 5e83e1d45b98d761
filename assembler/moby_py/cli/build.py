"""`moby-py build`: from a blueprint to a platform directory."""

from __future__ import annotations

import click

from moby_py.cli.options import blueprint_options


@click.command(
    epilog="\b\nExamples:\n  moby-py build blueprint.yaml -o out\n"
    "  moby-py build blueprint.yaml --set components.runtime=crun\n"
    "  moby-py build blueprint.yaml -o shop.tar          one file instead of a directory\n"
    "  moby-py build blueprint.yaml -o out --locked      only from the parts in out/platform.lock"
)
@click.argument("blueprint", default="blueprint.yaml", metavar="[BLUEPRINT]", type=click.Path())
@click.option(
    "-o", "--out", default="out", show_default=True, help="The directory to write; a tar if it ends in .tar."
)
@click.option("--locked", is_flag=True, help="Refuse when a part differs from OUT/platform.lock.")
@click.option("--json", "as_json", is_flag=True, help="The result, or all problems, as one JSON object.")
@blueprint_options
def build(
    blueprint: str,
    out: str,
    locked: bool,
    as_json: bool,
    sets: tuple[str, ...],
    variables: dict[str, str],
    plugins: tuple[str, ...],
) -> None:
    """Build the platform that BLUEPRINT describes.

    An older platform in OUT is replaced in one step; anything else there is refused. Every problem
    in the blueprint is reported at once, and nothing is written then.
    """
    from moby_py.assembly import Request
    from moby_py.assembly import build as build_platform
    from moby_py.cli.text import echo_json, parts_line, warn, with_problems_as_json

    request = Request(blueprint, sets, variables, plugins)
    result = with_problems_as_json(as_json, lambda: build_platform(request, out, locked=locked))
    name, wiring = result.plan.blueprint.name, result.plan.wiring
    lacking = [f for f in result.host.findings if f.status == "warn" and f.users]
    if as_json:
        echo_json(
            {
                "name": name,
                "out": str(result.out),
                "components": {kind: [p.id for p in wiring.of(kind)] for kind in wiring.kinds},
                "warnings": [*result.warnings, *(f.what for f in lacking)],
            }
        )
        return
    for text in result.warnings:
        warn(text)
    for finding in lacking:
        warn(f"{', '.join(finding.users)}: {finding.what}", finding.hint)
    click.echo(f"built {click.style(name, bold=True)} in {result.out}")
    click.echo(f"  {parts_line(wiring)}")
    if result.out.suffix == ".tar":
        click.echo(f"next: tar -xf {result.out} && moby-py up -d {result.out.stem}")
    else:
        click.echo(f"next: moby-py up -d {result.out}")
