"""What a start puts around a container: its mounts with host paths, /etc files, shared /dev/shm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from moby_components.common import mounts as mounting
from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.networking import links
from moby_components.engine.moby.networking.endpoints import Joined
from moby_components.engine.moby.networking.etc import of_host
from moby_components.engine.moby.rendering import etc_files
from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_components.engine.moby.rendering.namespaces import namespaces
from moby_components.engine.moby.rendering.spec import own_hostname
from moby_py.errors import Conflict, InvalidArgument
from moby_py.model import Mount

SHM_SIZE = 64 << 20
_OWN = ("rbind", "rprivate")


def plans(entry: Entry) -> list[MountPlan]:
    return [MountPlan.load(data) for data in entry.record.plans]


def secret_names(entry: Entry) -> dict[str, str]:
    """target -> name of each secret that the container mounts."""
    return {entry.target: entry.source for entry in plans(entry) if entry.type == "secret"}


def secret_mounts(files: Mapping[str, Path]) -> list[Mount]:
    options = ("bind", "rprivate", "ro", "nosuid", "nodev", "noexec")
    return [
        Mount(type="bind", source=str(path), target=target, options=options) for target, path in files.items()
    ]


def shm_mount(core: Core, entry: Entry) -> list[Mount]:
    """/dev/shm: one's own, one that others may share, the donor's, or the host's (the runtime's affair)."""
    host, modes = entry.record.host, namespaces(entry.record.intent)
    size = int(host.get("ShmSize") or SHM_SIZE)
    options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={size}")
    if modes.shm == "host" or any(plan.target == "/dev/shm" for plan in plans(entry)):
        return []
    if modes.shm == "container":
        donor = core.get(modes.join["ipc"])
        shared = core.layout.shm(donor.id)
        if not mounting.is_mounted(shared):
            raise InvalidArgument(
                f'invalid IPC mode "container:{modes.join["ipc"]}": non-shareable IPC '
                "(hint: use IpcMode:shareable for the donor container)"
            )
        return [Mount(type="bind", source=str(shared), target="/dev/shm", options=_OWN)]
    if modes.shm == "shareable":
        shared = core.layout.shm(entry.id)
        shared.mkdir(mode=0o700, exist_ok=True)
        mounting.mount("tmpfs", "shm", shared, options)
        return [Mount(type="bind", source=str(shared), target="/dev/shm", options=_OWN)]
    return [Mount(type="tmpfs", source="shm", target="/dev/shm", options=options)]


def joined_namespaces(core: Core, entry: Entry) -> dict[str, str]:
    """Namespace files of the containers whose pid or ipc namespace is shared. Raises Conflict."""
    found = {}
    for kind, ref in namespaces(entry.record.intent).join.items():
        donor = core.get(ref).record
        if not donor.live or not donor.pid:
            raise Conflict(f"cannot join {kind.upper()} of a non running container: {donor.id}")
        found[kind] = f"/proc/{donor.pid}/ns/{kind}"
    return found


def etc_mounts(core: Core, entry: Entry, joined: Joined) -> list[Mount]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf, written anew and bound in; those that the
    container mounts itself are left alone, and a shared network shares them."""
    owner = joined.donor or entry
    folder = core.layout.files(owner.id)
    if joined.donor is None:
        folder.mkdir(mode=0o711, exist_ok=True)
        for name, text in _etc_texts(core, entry, joined).items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
            if name == "resolv.conf":  # what we wrote: tells later whether somebody changed it
                (folder / f".{name}").write_text(text, encoding="utf-8")
    taken = {plan.target for plan in plans(entry)}
    return [
        Mount(type="bind", source=str(folder / name), target=f"/etc/{name}", options=_OWN)
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken and (folder / name).exists()
    ]


def _etc_texts(core: Core, entry: Entry, joined: Joined) -> dict[str, str]:
    record, host = entry.record, entry.record.host
    on_host = joined.sandbox.mode == "host"
    name = own_hostname(record.intent, record.id, on_host)
    extra = (*etc_files.extra_hosts(host), *links.neighbours(core, entry, strict=True))
    addresses = [a.partition("/")[0] for at in joined.attachments for a in (at.ipv4, at.ipv6) if a]
    gateways = [at.gateway4 for at in joined.attachments if at.gateway4]
    domain = record.intent.get("Domainname") or ""
    if on_host:
        hosts = etc_files.hosts_file(extra, base=of_host("/etc/hosts"))
    else:
        hosts = etc_files.hosts_file(
            extra,
            addresses=addresses,
            hostname=name,
            domainname=domain,
            gateway=gateways[0] if gateways else "",
        )
    return {
        "hosts": hosts,
        "hostname": f"{name}\n",
        "resolv.conf": etc_files.resolv_conf(
            host, servers=joined.servers, of_host=of_host("/etc/resolv.conf"), own_loopback=not on_host
        ),
    }
