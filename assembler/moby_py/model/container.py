"""A container as a runtime is asked to run it: the engine made it, a hook may have changed it.

`ContainerSpec` is a *rendering*: made anew at every start from the stored intent (Docker's create
body), the image's config and the blueprint, and thrown away afterwards. It speaks of what is
wanted, not of OCI, so that a CRI daemon can be asked as well as a command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from moby_py.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlimit:
    """`name` in Docker's spelling ("nofile"); soft and hard in the kernel's units, -1 = unlimited."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process: a container's first, or an exec's."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    """Docker's form: `name|uid[:group|gid]`; resolved against the rootfs by the runtime."""
    groups: tuple[str, ...] = ()
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """(height, width) of the first terminal size."""
    capabilities: tuple[str, ...] = ()
    """The final set, in the kernel's spelling ("CAP_CHOWN"), sorted."""
    no_new_privileges: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    apparmor_profile: str = ""
    selinux_label: str = ""
    oom_score_adj: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """`type` bind, tmpfs, proc, sysfs, mqueue or cgroup; `options` as mount(8) spells them.

    A bind's `source` is an absolute host path that exists; for a tmpfs it is "tmpfs".
    """

    type: str
    source: str
    target: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A host device node given to the container; `access` of "rwm"."""

    source: str
    target: str
    access: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What to run. Frozen: a hook changes it with `dataclasses.replace`."""

    id: str
    """64 hexadecimal digits, as Docker's."""
    name: str
    image: str
    """The image reference as the user typed it (for CRI and for people)."""
    image_id: str
    process: ProcessSpec
    hostname: str = ""
    domainname: str = ""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """pid, ipc, uts, user, cgroup -> "private" (default), "host", or "/proc/PID/ns/KIND" to join.
    A `user` namespace defaults to "host" (none of its own), as Docker's does."""
    uid_mappings: tuple[tuple[int, int, int], ...] = ()
    """(container id, host id, size) where `user` is private."""
    gid_mappings: tuple[tuple[int, int, int], ...] = ()
    mounts: tuple[Mount, ...] = ()
    """In the order to mount, beyond the defaults of the field (/proc, /dev, /sys ...)."""
    devices: tuple[Device, ...] = ()
    resources: Resources = field(default_factory=Resources)
    privileged: bool = False
    readonly_rootfs: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: str = "default"
    """"default", "unconfined", or the text of a profile in Docker's JSON form."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    init: bool = False
    """Run the platform's init as pid 1 (docker run --init)."""
    cgroup_parent: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerIO:
    """Where a process's bytes go.

    The runtime (or its monitor) writes stdout and stderr of a container to `log` in the CRI log
    format (`2026-01-02T03:04:05.123456789Z stdout F text`), which CRI-O, containerd's CRI plugin,
    podman and conmon ("k8s-file") all write; None keeps no log. With `stdin` the process has a
    standard input that `attach` feeds; `stdin_once` closes it when the first client closes its end.
    """

    log: str | None = None
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
