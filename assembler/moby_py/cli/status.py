"""`moby-py status`: is it up, where, since when, out of which parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from moby_py.platform import Built


def daemon(built: Built) -> dict[str, Any] | None:
    """The record of the running daemon, or None. The lock decides, not the pid in the file; only
    where another user's lock may not be opened, the process must do."""
    import fcntl
    import os
    from pathlib import Path

    try:
        fd = os.open(built.run / "daemon.lock", os.O_RDWR | os.O_CLOEXEC)
    except PermissionError:
        record = _record(built)
        return record if record and Path(f"/proc/{record['pid']}").exists() else None
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        pass
    finally:
        os.close(fd)
    return _record(built)


def _record(built: Built) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(built.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


@click.command(epilog="\b\nExamples:\n  moby-py status out\n  moby-py status --json out")
@click.argument("directory", default="out", metavar="[OUT]", type=click.Path())
@click.option("--state", metavar="DIR", help="Where its state lives, if it cannot be found.")
@click.option("--run", "run_", metavar="DIR", help="Where its run-time files live.")
@click.option("--json", "as_json", is_flag=True, help="The same as one JSON object.")
def status(directory: str, state: str | None, run_: str | None, as_json: bool) -> int:
    """Say whether the platform in OUT is up. Exit status 0 when it is, 1 when it is not."""
    import time

    from moby_py.platform import load

    built = load(directory, state=state, run=run_, anyones=True)
    record = daemon(built)
    parts = {kind: [item["as"] for item in items] for kind, items in built.components.items()}
    if as_json:
        click.echo(
            json.dumps(
                {
                    "name": built.name,
                    "up": record is not None,
                    "directory": str(built.directory),
                    "state": str(built.state),
                    "run": str(built.run),
                    "components": parts,
                    **({k: record[k] for k in ("pid", "since", "endpoints")} if record else {}),
                }
            )
        )
        return 0 if record else 1
    if record:
        age = max(0, int(time.time() - record["since"]))
        click.echo(f"{built.name} is up for {_span(age)} (pid {record['pid']})")
        for endpoint in record["endpoints"]:
            click.echo(f"  endpoint     {endpoint}")
    else:
        click.echo(f"{built.name} is not up")
    for kind, ids in parts.items():
        click.echo(f"  {kind:<12} {', '.join(ids)}")
    state_of = record.get("state", built.state) if record else built.state
    click.echo(f"  {'state':<12} {state_of}")
    return 0 if record else 1


def _span(seconds: int) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {word}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"
