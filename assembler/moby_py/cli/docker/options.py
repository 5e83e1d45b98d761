"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def listing(function: F) -> F:
    """--format, --json, -q, --filter."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="The API's objects as one JSON array."),
        click.option(
            "--format", "template", metavar="TEXT", default="", help="json, table or {{.Field}} ..."
        ),
        click.option("-q", "--quiet", is_flag=True, help="Only ids or names."),
        click.option("-f", "--filter", "filter_", metavar="KEY=VALUE", multiple=True, help="Only these."),
    ):
        function = option(function)
    return function


def truncating(function: F) -> F:
    """--no-trunc."""
    return click.option("--no-trunc", is_flag=True, help="Do not shorten ids and texts.")(function)
