"""`moby-py explain`: where the values of a blueprint come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from moby_py.cli.options import blueprint_options

if TYPE_CHECKING:
    from moby_py.explanation import Explained


DEFAULT = "blueprint.yaml"


@click.command(
    epilog="\b\nExamples:\n  moby-py explain blueprint.yaml\n"
    "  moby-py explain components.secrets.with\n"
    "  moby-py explain components.runtime blueprint.yaml --set components.runtime=crun"
)
@click.argument("path_and_blueprint", metavar="[PATH] [BLUEPRINT]", nargs=-1, type=click.Path())
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
    told. BLUEPRINT is blueprint.yaml unless given; "-" is standard input. What environment variables
    hold is not shown.
    """
    import json

    from moby_py.explanation import explain as explained
    from moby_py.explanation import lines
    from moby_py.registry import Registry
    from moby_py.validation import resolve

    path, file = _path_and_file(path_and_blueprint)
    registry = Registry(plugin_files=plugins)
    blueprint = resolve(file, registry, sets=sets, variables=variables)
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


def _path_and_file(words: tuple[str, ...]) -> tuple[str, str]:
    """One word is a blueprint, unless it can only be a path in ./blueprint.yaml."""
    from pathlib import Path

    if len(words) > 2:
        raise click.UsageError("give a blueprint, or a path in it and a blueprint")
    if len(words) == 2:
        return words[0], words[1]
    word = words[0] if words else DEFAULT
    if word == "-" or word.endswith((".yaml", ".yml")) or "/" in word or Path(word).exists():
        return "", word
    return word, DEFAULT


def _tell(item: Explained) -> None:
    import json

    click.echo(f"{item.path} = {json.dumps(item.value, ensure_ascii=False)}")
    how, told = item.origin.how, str(item.origin)
    click.echo(f"  {told}" if told.startswith(how) else f"  {how}: {told}")
    before = item.origin.over
    while before is not None:
        click.echo(f"  instead of {before}")
        before = before.over
