"""The same request for several names: each is tried, each failure told, one exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from moby_py.cli.docker.client import Unreachable
from moby_py.cli.main import report
from moby_py.errors import MobyError


def each(names: Iterable[str], act: Callable[[str], object], *, quiet: bool = False) -> int:
    """Prints each name that went well. Returns 0, or 1 if one did not."""
    status = 0
    for name in names:
        try:
            act(name)
        except Unreachable:
            raise
        except MobyError as error:
            report(error)
            status = 1
        else:
            if not quiet:
                click.echo(name)
    return status
