"""The embedded resolver: one small process per platform that knows the names of its containers.

    resolver = Resolver(run, log)                       docker run --network app --name web
    resolver.service()                                  the process, kept by the supervisor
    await resolver.name(Named(...))                     web, its aliases and short id on network app
    await resolver.serve(Client(...))                   127.0.0.11:53 inside its namespace answers

`handle`, `connection` and `records` are the daemon's side; `process` is the other one. Importing this
package loads none of them.
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
