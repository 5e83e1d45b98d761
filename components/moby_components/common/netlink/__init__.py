"""rtnetlink in the few messages that a bridge network needs: links, addresses, routes, conntrack.

Messages are encoded here and sent many at a time over one socket, each acknowledged by the kernel:
furnishing a container's namespace is two system calls instead of a dozen processes. No import beyond
the standard library.
"""

from moby_components.common.netlink.addresses import add_address, add_route, delete_address, list_addresses
from moby_components.common.netlink.links import (
    UP,
    Link,
    add_bridge,
    add_veth,
    delete_link,
    list_links,
    set_bridge,
    set_link,
    set_port,
)
from moby_components.common.netlink.sockets import Netlink, NetlinkError

__all__ = [
    "UP",
    "Link",
    "Netlink",
    "NetlinkError",
    "add_address",
    "add_bridge",
    "add_route",
    "add_veth",
    "delete_address",
    "delete_link",
    "list_addresses",
    "list_links",
    "set_bridge",
    "set_link",
    "set_port",
]
