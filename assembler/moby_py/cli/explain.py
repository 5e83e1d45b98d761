"""`moby-py explain`: where the values of a blueprint come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moby_py.cli.options import blueprint_options

if TYPE_CHECKING:
    from moby_py.explanation import Explained


@click.command(
    epilog="\b\nExamples:\n  moby-py explain blueprint.yaml\n"
    "  moby-py explain components.secrets.with blueprint.yaml\n"
    "  moby-py explain components.runtime blueprint.yaml --set components.runtime=crun"
)
@click.argument("path_and_blueprint", metavar="[PATH] BLUEPRINT", nargs=-1, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The same as a JSON list.")
@blueprint_options
def explain(
    path_and_blueprint: tuple[str, ...],
    as_json: bool,
    sets: tuple[str, ...],
    variables: dict[str, str],
    plugins: tuple[str, ...],
) -> None:
    """Say which values a blueprint comes to and where each is from.

    PATH is a place as problems name it, such as components.network.with; without it, everything is
    told. BLUEPRINT "-" is standard input. What environment variables hold is not shown.
    """
    import json

    from moby_py.explanation import explain as explained
    from moby_py.explanation import lines
    from moby_py.registry import Registry
    from moby_py.validation import resolve

    if len(path_and_blueprint) not in (1, 2):
        raise click.UsageError("give a blueprint, or a path in it and a blueprint")
    path = path_and_blueprint[0] if len(path_and_blueprint) == 2 else ""
    registry = Registry(plugin_files=plugins)
    blueprint = resolve(path_and_blueprint[-1], registry, sets=sets, variables=variables)
    items = explained(blueprint, path)
    if as_json:
        click.echo(json.dumps([item.as_json() for item in items], indent=2, ensure_ascii=False))
    elif path:
        for item in items:
            _tell(item)
    else:
        told = list(lines(blueprint))
        width = min(60, max(len(text) for text, _ in told))
        for text, origin in told:
            click.echo(f"{text:<{width}}  # {origin}" if origin else text)


def _tell(item: Explained) -> None:
    import json

    click.echo(f"{item.path} = {json.dumps(item.value, ensure_ascii=False)}")
    click.echo(f"  {item.origin.how + ': ' if item.origin.how != 'default' else ''}{item.origin}")
    before = item.origin.over
    while before is not None:
        click.echo(f"  instead of {before}")
        before = before.over
