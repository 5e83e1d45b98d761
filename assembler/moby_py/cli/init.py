"""`moby-py init`: a first blueprint to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from moby_py.registry import Registry

TEMPLATE = """\
# A container platform, put together by moby-py:
#
#   moby-py build {file}   check everything, write the platform into ./out
#   moby-py up -d out{pad}   start it
#   out/bin/{name} run --rm IMAGE echo hello
#
# `moby-py components` lists what there is to choose from; `moby-py schema` writes a schema with
# every option, for editors.
blueprint: 1
name: {name}

components:
{components}
  # A part with options, and a second runtime beside the first (docker run --runtime safe):
  # runtime:
  #   - {runtime}
  #   - {{use: {second}, as: safe}}

# Images that are fetched when the platform comes up:
images: []
#  - docker.io/library/alpine:3
"""


@click.command(
    epilog="\b\nExamples:\n  moby-py init\n  moby-py init --runtime crun shop.yaml\n"
    "  moby-py init && moby-py build && moby-py up -d"
)
@click.argument("file", default="blueprint.yaml", metavar="[FILE]", type=click.Path())
@click.option("--name", metavar="NAME", help="The platform's name (default: this folder's).")
@click.option("--runtime", metavar="NAME", help="What runs the containers (see moby-py components runtime).")
def init(file: str, name: str | None, runtime: str | None) -> None:
    """Write a commented starter blueprint. FILE must not exist yet."""
    from moby_py.errors import AlreadyExists, MobyError
    from moby_py.registry import Registry

    registry = Registry()
    runtimes = registry.names("runtime")
    if runtime is not None and runtime not in runtimes:
        raise click.BadParameter(f"{runtime!r} is not one of {', '.join(runtimes)}", param_hint="--runtime")
    text = starter(registry, Path(file).name, name or _folder_name(), runtime or runtimes[0])
    try:
        with Path(file).open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise AlreadyExists(
            f"{file} is there already - init overwrites nothing", hint="moby-py init OTHER.yaml"
        ) from None
    except OSError as error:
        raise MobyError(f"cannot write {file} - {error.strerror}") from error
    click.echo(f"wrote {file}")
    click.echo(f"next: moby-py build {file}")


def starter(registry: Registry, file: str, name: str, runtime: str) -> str:
    """The text of a starter blueprint: of each kind the first registered component."""
    from moby_py.kinds import DEFAULTS, KINDS

    lines = []
    for kind in KINDS:
        names = registry.names(kind)
        if not names:
            continue
        chosen = runtime if kind == "runtime" else names[0]
        others = [other for other in names if other != chosen]
        line = f"{'# ' if kind in DEFAULTS else ''}{kind}: {chosen}"
        note = "the default" if kind in DEFAULTS else f"or {', '.join(others)}" if others else ""
        lines.append(f"  {line:<26}# {note}".rstrip() if note else f"  {line}")
    second = next((other for other in registry.names("runtime") if other != runtime), runtime)
    return TEMPLATE.format(
        file=file,
        pad=" " * max(len(file) - 3, 0),
        name=name,
        components="\n".join(lines),
        runtime=runtime,
        second=second,
    )


def _folder_name() -> str:
    """The current folder's name in the letters that a platform's name may have."""
    import re

    word = re.sub(r"[^a-z0-9]+", "-", Path.cwd().name.lower()).strip("-")
    return word if re.match(r"[a-z]", word) else f"platform-{word}".strip("-")
