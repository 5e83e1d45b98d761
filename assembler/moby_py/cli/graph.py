"""`moby-py graph`: the wiring of a blueprint as a picture."""

from __future__ import annotations

import click

from moby_py.cli.options import blueprint_options


@click.command(
    epilog="\b\nExamples:\n  moby-py graph blueprint.yaml\n"
    "  moby-py graph --format svg blueprint.yaml -o wiring.svg"
)
@click.argument("blueprint", default="blueprint.yaml", metavar="[BLUEPRINT]", type=click.Path())
@click.option("--format", "form", type=click.Choice(["mermaid", "svg"]), default="mermaid", show_default=True)
@click.option("-o", "--out", metavar="FILE", help="Write to FILE instead of standard output.")
@blueprint_options
def graph(
    blueprint: str,
    form: str,
    out: str | None,
    sets: tuple[str, ...],
    variables: dict[str, str],
    plugins: tuple[str, ...],
) -> None:
    """Draw the wiring of a blueprint.

    Its components, who serves whom, and the programs of this host that they use.
    """
    from pathlib import Path

    from moby_py.assembly import Request, plan
    from moby_py.errors import MobyError
    from moby_py.graph import mermaid, of
    from moby_py.graph_svg import svg
    from moby_py.host import check_host

    made = plan(Request(blueprint, sets, variables, plugins))
    picture = of(made.blueprint.name, made.wiring, check_host(made.wiring))
    text = mermaid(picture) if form == "mermaid" else svg(picture)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MobyError(f"cannot write {out} - {error.strerror}") from error
