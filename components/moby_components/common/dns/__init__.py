"""The embedded resolver: one small process per platform that knows the names of its containers.

    resolver = Resolver(run, log)                       docker run --network app --name web
    resolver.service()                                  python .../dns/__main__.py, kept by the supervisor
    await resolver.name(Named(...))                     web, its aliases and short id on network app
    await resolver.serve(Client(...))                   127.0.0.11:53 inside its namespace answers

The process (`process`, `control`, `door`, `answer`, `forward`, ...) imports neither asyncio nor
anything of the daemon, so that it stays at about ten megabytes; only `handle` and `records` belong to
the daemon's side. Importing this package loads none of either.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_components.common.dns.handle import Resolver
    from moby_components.common.dns.records import Client, Named

__all__ = ["Client", "Named", "Resolver"]

_HOME = {"Client": "records", "Named": "records", "Resolver": "handle"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
