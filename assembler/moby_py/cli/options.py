"""The options that every command taking a blueprint shares: `--set`, `--var`, `--plugin`.

@click.command()
@click.argument("blueprint", ...)
@blueprint_options
def build(blueprint: str, sets: tuple[str, ...], variables: dict[str, str], plugins: tuple[str, ...])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def blueprint_options(command: F) -> F:
    """Add the options; the command gets `sets`, `variables` and `plugins`.

    sets:       "PATH=VALUE" texts as typed, in order; `moby_py.blueprint.load` parses them, so that a
                wrong one is reported together with the blueprint's other problems
    variables:  {name: value}; a text without "=" is a usage error
    plugins:    paths of Python files, for `Registry(plugin_files=...)`
    """
    for option in (
        click.option(
            "--plugin",
            "plugins",
            metavar="FILE",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False),
            help="Load components from this Python file too. May be given again.",
        ),
        click.option(
            "--var",
            "variables",
            metavar="NAME=VALUE",
            multiple=True,
            callback=_variables,
            help="Give a variable of the blueprint another value. May be given again.",
        ),
        click.option(
            "--set",
            "sets",
            metavar="PATH=VALUE",
            multiple=True,
            help="Change one value: components.runtime=crun. The value is YAML. May be given again.",
        ),
    ):
        command = option(command)
    return command


def _variables(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", ctx=ctx, param=param)
        pairs[name] = value
    return pairs
