"""What a shell completes names with: the platform's own containers, images, volumes, ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

LISTS: dict[str, tuple[str, Callable[[Any], list[str]]]] = {
    "container": ("/containers/json?all=1", lambda c: [name.lstrip("/") for name in c["Names"]]),
    "image": ("/images/json", lambda i: [tag for tag in i["RepoTags"] or () if tag != "<none>:<none>"]),
    "network": ("/networks", lambda n: [n["Name"]]),
    "volume": ("/volumes", lambda v: [v["Name"]]),
    "secret": ("/secrets", lambda s: [s["Spec"]["Name"]]),
}


def names(*kinds: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """For `shell_complete=`: names of these kinds. A platform that does not answer has none."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        del param
        from moby_py.cli.docker.client import Client
        from moby_py.errors import MobyError

        root = ctx.find_root()
        found: list[str] = []
        try:
            api = Client(str(root.params.get("_platform") or root.obj))
            for kind in kinds:
                path, of = LISTS[kind]
                answer = api.get(path)
                items = answer["Volumes"] or () if kind == "volume" else answer
                found += [name for item in items for name in of(item)]
        except (MobyError, OSError, ValueError, KeyError):
            return []
        return [name for name in found if name.startswith(incomplete)]

    return complete
