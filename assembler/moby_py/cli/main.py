"""The command line's front door: which command, and what becomes of an error.

Two vocabularies share one program: `moby-py COMMAND` builds and runs platforms; `moby-py -p OUT
COMMAND` (written into OUT/bin/NAME by `build`) speaks Docker's words to a platform's API socket.
Commands are imported only when they are called: start-up stays under 100 ms.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from moby_py import __version__

if TYPE_CHECKING:
    from moby_py.errors import MobyError

ASSEMBLER_COMMANDS = {
    "build": "moby_py.cli.build:build",
    "check": "moby_py.cli.check:check",
    "up": "moby_py.cli.up:up",
    "down": "moby_py.cli.down:down",
    "status": "moby_py.cli.status:status",
    "logs": "moby_py.cli.logs:logs",
    "explain": "moby_py.cli.explain:explain",
    "graph": "moby_py.cli.graph:graph",
    "schema": "moby_py.cli.schema:schema",
    "components": "moby_py.cli.components:components",
    "init": "moby_py.cli.init:init",
}

PLATFORM_MODULE = "moby_py.cli.docker:COMMANDS"
"""Docker's words, as a table of the same form; it lives beside its commands."""


class LazyGroup(click.Group):
    """A group whose commands are named in a table and imported on demand."""

    def __init__(self, *args: Any, table: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self.table.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in self.table and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, self.table, n=1)
            hint = f" - did you mean {close[0]!r}?" if close else f" - see '{ctx.command_path} --help'"
            raise click.UsageError(f"no such command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    table=ASSEMBLER_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExamples:\n  moby-py init && moby-py build blueprint.yaml\n  moby-py up -d out\n"
    "  moby-py -p out run --rm IMAGE echo hello",
)
@click.version_option(__version__, prog_name="moby-py", message="%(prog)s %(version)s")
@click.option(
    "-p", "--platform", "_platform", metavar="OUT", help="Speak Docker's words to the platform in OUT."
)
def moby_py(_platform: str | None) -> None:
    """Build your own container platform from parts, and run it."""


def platform_group(directory: str, prog: str) -> click.Group:
    """Docker's words for one platform. `ctx.obj` is its directory (a str)."""
    module, _, attribute = PLATFORM_MODULE.partition(":")
    table: dict[str, str] = getattr(import_module(module), attribute)
    return LazyGroup(
        name=prog,
        table=table,
        context_settings={"help_option_names": ["-h", "--help"], "obj": directory},
        help=f"The container platform in {directory}, in Docker's words.",
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


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 usage or blueprint, 3 host lacks something."""
    args = list(sys.argv[1:] if argv is None else argv)
    group: click.Group = moby_py
    prog = "moby-py"
    if args and args[0] in ("-p", "--platform") and len(args) > 1:
        import os

        prog = os.environ.pop("MOBY_PY_PROG", "") or f"moby-py -p {args[1]}"
        group = platform_group(args[1], prog)
        args = args[2:]
    try:
        status = group.main(args=args, prog_name=prog, standalone_mode=False)
    except click.exceptions.Exit as end:
        status = end.exit_code
    except click.ClickException as error:
        error.show()
        status = error.exit_code
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
