"""The command line's front door: which command, and what becomes of an error.

Two vocabularies share one program: `moby-py COMMAND` builds and runs platforms; `moby-py -p OUT
COMMAND` (written into OUT/bin/NAME by `build`) speaks Docker's words to a platform's API socket.
Commands are imported only when they are called: start-up stays under 100 ms.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

import click

from moby_py import __version__
from moby_py.cli.group import SETTINGS, LazyGroup

if TYPE_CHECKING:
    from moby_py.errors import MobyError

ASSEMBLER_COMMANDS = {
    "init": "moby_py.cli.init:init",
    "check": "moby_py.cli.check:check",
    "explain": "moby_py.cli.explain:explain",
    "graph": "moby_py.cli.graph:graph",
    "components": "moby_py.cli.components:components",
    "schema": "moby_py.cli.schema:schema",
    "build": "moby_py.cli.build:build",
    "up": "moby_py.cli.up:up",
    "down": "moby_py.cli.down:down",
    "status": "moby_py.cli.status:status",
    "logs": "moby_py.cli.logs:logs",
    "completion": "moby_py.cli.completion:completion",
}

PLATFORM_MODULE = "moby_py.cli.docker"
"""Docker's words: COMMANDS, a table of the same form, and SECTIONS; they live beside their commands."""


class Front(LazyGroup):
    """`moby-py`. Shell completion of `moby-py -p OUT ...` goes on with the platform's words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_platform_table() if ctx.params.get("_platform") else self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if ctx.params.get("_platform"):
            return platform_group(ctx.params["_platform"], ctx.info_name or "").get_command(ctx, cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=Front,
    table=ASSEMBLER_COMMANDS,
    sections={
        "Blueprints": ["init", "check", "explain", "graph", "components", "schema"],
        "Platforms": ["build", "up", "down", "status", "logs"],
        "This command": ["completion"],
    },
    context_settings=SETTINGS,
    epilog="\b\nExamples:\n  moby-py init && moby-py check blueprint.yaml\n"
    "  moby-py build blueprint.yaml -o out && moby-py up -d out\n"
    "  moby-py -p out run --rm IMAGE echo hello    (the same: out/bin/NAME run ...)\n"
    "  moby-py -p out --help                       Docker's words",
)
@click.version_option(__version__, prog_name="moby-py", message="%(prog)s %(version)s")
@click.option(
    "-p",
    "--platform",
    "_platform",
    metavar="OUT",
    type=click.Path(file_okay=False),
    help="Speak Docker's words to the platform in OUT.",
)
def moby_py(_platform: str | None) -> None:
    """Build your own container platform from parts, and run it."""


def _platform_table() -> dict[str, str]:
    table: dict[str, str] = import_module(PLATFORM_MODULE).COMMANDS
    return table


def platform_group(directory: str, prog: str) -> click.Group:
    """Docker's words for one platform. `ctx.obj` is its directory (a str)."""
    return LazyGroup(
        name=prog,
        table=_platform_table(),
        sections=import_module(PLATFORM_MODULE).SECTIONS,
        context_settings={**SETTINGS, "obj": directory},
        help=f"The container platform in {directory}, in Docker's words.",
        epilog=f"\b\nExamples:\n  {prog} image from-host -t tools sh echo ls\n"
        f"  {prog} run --rm tools echo hello\n  {prog} COMMAND --help",
    )


def report(error: MobyError) -> int:
    """Print one line of error, one of hint; return the exit status."""
    problems = getattr(error, "problems", ())
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
        if problem.hint:
            click.echo(f"  hint: {problem.hint}", err=True)
    if not problems:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    return error.exit_status


def _alike(word: str, near: Iterable[str]) -> list[str]:
    """Click compares with the dashes, to which everything is alike."""
    from difflib import get_close_matches

    bare = {option.lstrip("-"): option for option in near}
    return [bare[name] for name in get_close_matches(word.lstrip("-"), bare, n=2)]


def report_usage(error: click.ClickException, prog: str) -> int:
    """Click's words in our form: lower-case, without a full stop, the way out as a hint."""
    ctx = getattr(error, "ctx", None)
    near = _alike(getattr(error, "option_name", ""), getattr(error, "possibilities", None) or ())
    known = hasattr(error, "possibilities")
    text = (error.message if known else error.format_message()).rstrip(".")
    hint = getattr(error, "hint", None)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif not hint and ctx is not None:
        hint = f"{ctx.command_path} {' '.join(ctx.command.collect_usage_pieces(ctx))}"
        hint += f"    (see {ctx.command_path} --help)"
    elif not hint:
        hint = f"{prog} --help"
    click.echo(f"error: {text[:1].lower()}{text[1:]}", err=True)
    click.echo(f"hint: {hint}", err=True)
    return error.exit_code


def chosen(args: list[str]) -> tuple[str, list[str]]:
    """(OUT, the other arguments) where the line starts with -p OUT in any spelling; else ("", args)."""
    first = args[0] if args else ""
    if first in ("-p", "--platform") and len(args) > 1:
        return args[1], args[2:]
    if first.startswith("--platform="):
        return first.partition("=")[2], args[1:]
    if first.startswith("-p") and len(first) > 2:
        return first[2:], args[1:]
    return "", args


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 usage or blueprint, 3 host lacks something."""
    group: click.Group = moby_py
    prog = "moby-py"
    try:
        directory, args = chosen(list(sys.argv[1:] if argv is None else argv))
        if directory:
            from moby_py.elsewhere import platform_name

            platform_name(directory)  # a word to a platform that is none has no help either
            prog = os.environ.pop("MOBY_PY_PROG", "") or f"moby-py -p {directory}"
            group = platform_group(directory, prog)
        status = group.main(args=args, prog_name=prog, standalone_mode=False)
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = error.exit_code
    except click.ClickException as error:
        status = report_usage(error, prog)
    except (click.Abort, KeyboardInterrupt):
        click.echo("", err=True)
        status = 130
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    except Exception as error:
        from moby_py.errors import MobyError

        if not isinstance(error, MobyError):
            raise
        status = report(error)
    sys.exit(status if isinstance(status, int) else 0)
