"""A click group whose commands are named in a table, imported when they are typed.

What every `--help` here has in common is made in this file: commands under headings, summaries in
full, and examples that name the program as the user called it (`NAME` in an epilog).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from importlib import import_module
from typing import Any

import click

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """`table`: word -> "module:attribute". `sections`: heading -> words, for `--help`; words in none
    of them come under "Commands"."""

    def __init__(
        self,
        *args: Any,
        table: Mapping[str, str],
        sections: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", SETTINGS)
        super().__init__(*args, **kwargs)
        self.table = table
        self.sections = sections or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = self.table.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        epilog = command.epilog or ""
        if "NAME" in epilog:
            command = copy(command)
            command.epilog = epilog.replace("NAME", ctx.find_root().info_name or "NAME")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        words = self.list_commands(ctx)
        if name and name not in words and not name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            error = click.UsageError(f"no such command {name!r}", ctx)
            if close := get_close_matches(name, words, n=1):
                error.hint = f"did you mean {close[0]!r}?"  # type: ignore[attr-defined]
            raise error
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        words = self.list_commands(ctx)
        placed = {word for section in self.sections.values() for word in section}
        sections = {**self.sections, "Commands": [word for word in words if word not in placed]}
        width = max(map(len, words))
        for title, names in sections.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                if command is not None and not command.hidden:
                    rows.append((name.ljust(width), command.get_short_help_str(limit=200)))
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
