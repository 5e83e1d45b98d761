"""`moby-py schema`: the JSON Schema of blueprints, for editors."""

from __future__ import annotations

import click


@click.command(
    epilog="\b\nExamples:\n  moby-py schema -o blueprint.schema.json\n"
    "  # then, as the first line of a blueprint:\n"
    "  # yaml-language-server: $schema=blueprint.schema.json"
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write to FILE, not to the screen.",
)
@click.option("--built-in", "builtin", is_flag=True, help="Leave out the components of other packages.")
@click.option(
    "--plugin",
    "plugins",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="With the components of this Python file too. May be given again.",
)
def schema(output: str | None, builtin: bool, plugins: tuple[str, ...]) -> None:
    """Write the JSON Schema of blueprints, for editors. It holds the options of all components here."""
    from pathlib import Path

    from moby_py.errors import MobyError
    from moby_py.registry import Registry
    from moby_py.schema_doc import document

    made = document(Registry(plugin_files=plugins), builtin=builtin)
    for line in made.left_out:
        click.echo(f"warning: left out - {line}", err=True)
    if output is None:
        click.echo(made.text(), nl=False)
        return
    try:
        Path(output).write_text(made.text(), encoding="utf-8")
    except OSError as error:
        raise MobyError(f"cannot write {output} - {(error.strerror or str(error)).lower()}") from error
