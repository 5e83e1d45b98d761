"""api/docker: the Docker Engine API on a unix socket. Start with `routes.py`, the table of it all."""

from __future__ import annotations

from collections.abc import Sequence

from moby_py import hookimpl
from moby_py.component import Component


@hookimpl
def moby_components() -> Sequence[type[Component]]:
    from moby_components.api.docker.component import Docker

    return [Docker]
