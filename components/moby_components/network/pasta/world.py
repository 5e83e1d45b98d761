"""The platform's network namespace: pinned, furnished for an uplink, waited for, removed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

from moby_components.common import mounts, netlink
from moby_components.common.bridging import sysctls
from moby_components.common.netlink import Netlink
from moby_components.common.netns import in_netns, run_in
from moby_components.common.nft import Nft
from moby_components.network.pasta.launch import is_pinned
from moby_components.network.pasta.uplink import INTERFACE

TABLE = "moby-py-uplink"
RULES = f"""
add table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  chain leaving {{
    type nat hook postrouting priority srcnat + 10; policy accept;
    oifname "{INTERFACE}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter - 2; policy accept;
    oifname "{INTERFACE}" ct state invalid drop
  }}
}}
"""
"""Nothing but the world's own address may reach the uplink: pasta answers to whom it last heard from,
so one packet under another address would turn everybody's answers away."""
LINK, IPV4_ROUTE, IPV6_ROUTE = 0x1, 0x40, 0x400
RTF_GATEWAY = 0x2


class PinnedWorld:
    """The namespace whose file is `path`. Everything is idempotent."""

    def __init__(self, path: Path, record: Path) -> None:
        self.path = path
        self.record = record
        """Where the uplink's pid is."""

    def pin(self) -> bool:
        """True when it had to be made. An uplink that is left of an earlier world is ended then: it
        holds on to what nobody can reach any more, and the supervisor starts another."""
        if is_pinned(str(self.path), Path("/proc/self/ns/net").stat().st_dev):
            return False
        self.path.unlink(missing_ok=True)
        self.end_uplink()
        mounts.pin_network_namespace(self.path)
        return True

    async def furnish(self) -> None:
        """The loopback and the rules of the uplink."""

        def work() -> None:
            sysctls.write("ipv6/conf/default/accept_ra", "2")  # slirp4netns announces; we forward
            with Netlink() as link:
                link.send([netlink.set_link("lo", up=True)])
            with Nft() as nft:
                nft.run(RULES)

        await in_netns(self.path, work)

    async def linked(self) -> None:
        """Returns when there is a default route over the uplink."""
        # Not in another thread: a socket that comes when nobody waits any more would stay open.
        changes, ready = run_in(self.path, _listen)
        loop = asyncio.get_running_loop()
        with changes:
            while not ready:
                with contextlib.suppress(OSError):  # more changes than fit: look all the same
                    await loop.sock_recv(changes, 1 << 16)
                ready = run_in(self.path, has_default_route)

    def unpin(self) -> None:
        """The namespace goes with its last user."""
        if self.path.exists():
            mounts.umount(self.path, lazy=True)
            self.path.unlink()
        self.record.unlink(missing_ok=True)

    def end_uplink(self) -> None:
        """Kill who is recorded, if that still is an uplink of this world."""
        try:
            pid = int(self.record.read_text(encoding="ascii"))
            handle = os.pidfd_open(pid)
        except (OSError, ValueError):
            return
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(self.path) in line:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError:
            pass  # it has ended
        finally:
            os.close(handle)


def has_default_route() -> bool:
    """Whether the calling thread's namespace has one over the uplink."""
    for line in Path("/proc/thread-self/net/route").read_text(encoding="ascii").splitlines():
        fields = line.split()
        if fields[0] == INTERFACE and fields[1] == fields[7] == "00000000":
            return True
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
        for line in Path("/proc/thread-self/net/ipv6_route").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[9] == INTERFACE and fields[1] == "00" and int(fields[8], 16) & RTF_GATEWAY:
                return True
    return False


def _listen() -> tuple[socket.socket, bool]:
    """Hear of changes first, then look: none is missed."""
    changes = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
    try:
        changes.bind((0, LINK | IPV4_ROUTE | IPV6_ROUTE))
        changes.setblocking(False)
        return changes, has_default_route()
    except BaseException:
        changes.close()
        raise
