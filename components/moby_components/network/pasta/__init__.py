"""network/pasta: bridge networks without root, in a network namespace of the platform's own.

host                       world: RUN/network/pasta/world                 sandbox
forwarder  -- published ports ------------------------------> address of the container
pasta      <--------------- uplink0 <- NAT <- bridge <------- eth0
"""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.network.pasta.component import PastaNetwork

    return [PastaNetwork]
