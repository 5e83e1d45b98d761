"""/etc/hosts and /etc/resolv.conf of a running container after its networks changed.

The files are bound into the container: they are written in place, since a rename would leave the
container with the old one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking import links
from moby_components.engine.moby.networking.naming import bare
from moby_components.engine.moby.rendering import etc_files
from moby_components.engine.moby.rendering.spec import own_hostname
from moby_py.model import Attachment, AttachRequest

LARGEST = 1 << 20


async def refresh(core: Core, entry: Entry, pairs: Sequence[tuple[AttachRequest, Attachment]]) -> None:
    """Own lines of /etc/hosts follow the addresses; lines that somebody added stay. resolv.conf is
    written again only where nobody changed it since we wrote it (Docker's rule)."""
    folder = core.layout.files(entry.id)
    hostname = own_hostname(entry.record.intent, entry.id, False)
    domain = entry.record.intent.get("Domainname") or ""
    addresses = [bare(a) for _, at in pairs for a in (at.ipv4, at.ipv6) if a]
    text = resolv_conf(entry, core.naming.servers(pairs))
    linked = [f"{address}\t{names}\n" for names, address in links.neighbours(core, entry, strict=False)]
    own = [etc_files.own_line(address, hostname, domain) for address in addresses]
    await asyncio.to_thread(
        _write, folder, linked, own, partial(etc_files.is_own, hostname=hostname, domainname=domain), text
    )


def resolv_conf(entry: Entry, servers: tuple[str, ...]) -> str:
    """The text for these resolvers; without any, the host's."""
    return etc_files.resolv_conf(
        entry.record.host, servers=servers, of_host=of_host("/etc/resolv.conf"), own_loopback=True
    )


def of_host(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _write(
    folder: Path, linked: list[str], own: list[str], is_own: Callable[[str], bool], resolv: str
) -> None:
    hosts = folder / "hosts"
    if hosts.exists() and hosts.stat().st_size < LARGEST:
        lines = hosts.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if not is_own(line)]
        new = [line for line in linked if line not in kept]
        hosts.write_text("".join([*kept, *new, *own]), encoding="utf-8")
    path, mark = folder / "resolv.conf", folder / ".resolv.conf"
    if path.exists() and mark.exists() and path.read_bytes() == mark.read_bytes():
        path.write_text(resolv, encoding="utf-8")
        mark.write_text(resolv, encoding="utf-8")
