"""The default route inside a sandbox, moved when networks come and go while a container lives."""

from __future__ import annotations

import socket

from moby_components.common.netns import in_netns
from moby_py.errors import RuntimeFailed


async def move_default_route(sandbox: str, interface: str, gateway4: str, gateway6: str) -> None:
    """All others go; "" leaves the sandbox without one of that version. Raises RuntimeFailed."""
    from moby_components.common.netlink import Netlink
    from moby_components.common.netlink.routes import set_default

    def work() -> None:
        with Netlink() as netlink:
            set_default(netlink, socket.if_nametoindex(interface), {4: gateway4, 6: gateway6})

    try:
        await in_netns(sandbox, work)
    except OSError as error:
        raise RuntimeFailed(
            f"the default route cannot be moved to {interface} - {(error.strerror or str(error)).lower()}"
        ) from error
