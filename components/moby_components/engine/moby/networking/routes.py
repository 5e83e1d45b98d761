"""The default route inside a sandbox, moved when networks come and go while a container lives."""

from __future__ import annotations

from moby_components.common.netns import in_netns


async def move_default_route(sandbox: str, interface: str, gateway4: str, gateway6: str) -> None:
    """All other default routes go; "" leaves the sandbox without one of that version. Raises OSError."""

    def work() -> None:
        from pyroute2 import IPRoute  # type: ignore[import-untyped]

        with IPRoute() as link:
            index = link.link_lookup(ifname=interface)[0]
            for family, gateway in ((2, gateway4), (10, gateway6)):
                for route in link.get_routes(family=family, dst_len=0, table=254):
                    if route["dst_len"] == 0:
                        oif = route.get_attr("RTA_OIF")
                        link.route("del", family=family, dst_len=0, oif=oif, table=254)
                if gateway:
                    link.route("add", family=family, dst="default", gateway=gateway, oif=index)

    await in_netns(sandbox, work)
