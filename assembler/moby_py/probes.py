"""Probes of the host's kernel and privileges, by the names that `needs.Feature` uses.

Each returns what it found, and where it says no, why and the way out. Where a rule can be read it is
read; where the kernel alone knows, it is asked: a user namespace is really made, an overlay is really
mounted, in namespaces of a short-lived helper process, so that nothing stays behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moby_py.cgroups import own_v2_group, read_layout, writable
from moby_py.directories import state_dir
from moby_py.errors import HostError

CAP_SYS_RESOURCE = 24
WANTED_CONTROLLERS = ("cpu", "memory", "pids")


@dataclass(frozen=True, slots=True)
class Probe:
    """`ok` says whether it can be used; `what` what was found; `hint` the way out when it cannot."""

    ok: bool
    what: str
    hint: str | None = None


def root() -> Probe:
    if os.geteuid() == 0:
        return Probe(True, "running as root")
    return Probe(False, f"running as user {os.geteuid()}, not as root", "sudo moby-py ...")


@functools.cache
def user_namespaces() -> Probe:
    for name, forbidding, remedy in (
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=28633"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ):
        if _sysctl(name) == forbidding and (os.geteuid() != 0 or name.startswith("user/")):
            dotted = name.replace("/", ".")
            return Probe(False, f"user namespaces are switched off - sysctl {dotted} is {forbidding}", remedy)
    said = _try("unshare", "--user", "--map-root-user", "true")
    if not said:
        return Probe(True, "user namespaces can be made")
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" and os.geteuid() != 0:
        return Probe(
            False,
            "AppArmor keeps ordinary users from making user namespaces",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )
    return Probe(False, f"a user namespace cannot be made - {said}", "run moby-py as root")


@functools.cache
def overlayfs() -> Probe:
    base = _writable_parent(state_dir("probe"))
    work = Path(tempfile.mkdtemp(prefix=".moby-py-probe-", dir=base))
    folders = [work / name for name in ("lower", "upper", "work", "merged")]
    try:
        for folder in folders:
            folder.mkdir()
        options = f"lowerdir={folders[0]},upperdir={folders[1]},workdir={folders[2]}"
        namespaces = ["--mount"]
        if os.geteuid() != 0:
            namespaces, options = ["--user", "--map-root-user", "--mount"], options + ",userxattr"
        said = _try(
            "unshare", *namespaces, "mount", "-t", "overlay", "-o", options, "overlay", str(folders[3])
        )
    finally:
        # As an ordinary user the kernel's own work/work has mode 0: rmtree cannot list it, rmdir can.
        for folder in [work / "work" / "work", work / "work" / "index", *folders, work]:
            with contextlib.suppress(OSError):
                folder.rmdir()
    if not said:
        return Probe(True, f"overlay mounts work on {base}")
    filesystems = Path("/proc/filesystems").read_text(encoding="ascii").split()
    if "overlay" not in filesystems:
        return Probe(False, "the kernel has no overlay file system", "modprobe overlay")
    return Probe(
        False,
        f"an overlay cannot be mounted on {base} - {said}",
        "put the state on ext4 or xfs: moby-py up --state DIR, or set MOBY_PY_STATE",
    )


def seccomp() -> Probe:
    actions = _sysctl("kernel/seccomp/actions_avail")
    if actions:
        return Probe(True, "the kernel filters system calls (seccomp)")
    return Probe(False, "the kernel has no seccomp filter", "use a kernel with CONFIG_SECCOMP_FILTER")


def cgroup() -> Probe:
    layout = read_layout()
    if layout.mode == "none":
        return Probe(False, "no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    names = {"v1": "cgroup v1", "hybrid": "cgroup v1 with v2 beside it (hybrid)", "v2": "cgroup v2"}
    what = f"{names[layout.mode]}: {' '.join(layout.controllers)}"
    points = [layout.unified] if layout.mode == "v2" else sorted(set(layout.v1.values()))
    if os.geteuid() != 0:
        group = own_v2_group(layout)
        if layout.mode == "v2" and writable(group):
            return Probe(True, f"{what}, delegated to this user")
        return Probe(
            False,
            f"{what}, but none is delegated to user {os.geteuid()} - limits and statistics do not work",
            "systemd-run --user --scope -p Delegate=yes moby-py up ..." if layout.mode == "v2" else None,
        )
    closed = [point for point in points if point in layout.readonly or not writable(point)]
    if closed:
        return Probe(
            False,
            f"{what}, but {closed[0]} is read-only",
            "run moby-py outside of this container, or give the container its own writable cgroups",
        )
    missing = [name for name in WANTED_CONTROLLERS if name not in layout.controllers]
    if missing:
        return Probe(False, f"{what}, without {' '.join(missing)}", f"boot with cgroup_enable={missing[0]}")
    return Probe(True, what)


def cgroup_single_owner() -> Probe:
    """crun refuses every container on a hybrid host while the v2 hierarchy still owns a controller."""
    layout = read_layout()
    if layout.mode != "hybrid" or not layout.v2:
        return Probe(True, "no controller is split between cgroup v1 and v2")
    steps = [
        f"mkdir -p /sys/fs/cgroup/{name} && mount -t cgroup -o {name} cgroup /sys/fs/cgroup/{name}"
        for name in layout.v2
    ]
    return Probe(
        False,
        f"hybrid cgroups: {' '.join(layout.v2)} still belongs to the v2 hierarchy at {layout.unified}, "
        "and a runtime that wants one owner for all controllers refuses to run",
        " && ".join(steps),
    )


def bridge_networks() -> Probe:
    """Bridges, veth pairs and nftables rules, for components that make ordinary networks."""
    from moby_py.probes_network import bridge_networks as tried

    return Probe(*tried())


def private_networks() -> Probe:
    """The same in a network namespace of one's own: an ordinary user may, inside a user namespace."""
    from moby_py import probes_network

    if os.geteuid() == 0:
        return bridge_networks()
    code = "import runpy, sys; sys.exit(runpy.run_path(sys.argv[1])['try_here']() or 0)"
    argv = [sys.executable, "-I", "-S", "-c", code, probes_network.__file__]
    said = _try("unshare", "--user", "--map-root-user", *argv)
    if said:
        return Probe(False, f"an ordinary user cannot make networks here - {said}", "use network/host")
    return Probe(True, "bridges, veth pairs and nftables rules can be made in a user namespace")


def tun() -> Probe:
    """Opening the device is what a user-mode network stack begins with; nothing is made by that."""
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        return Probe(
            False,
            f"/dev/net/tun may not be opened by user {os.geteuid()} - its mode is "
            f"{Path('/dev/net/tun').stat().st_mode & 0o777:04o}, usual is 0666",
            "sudo chmod 0666 /dev/net/tun",
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Probe(False, f"/dev/net/tun cannot be opened - {reason}", "sudo modprobe tun")
    return Probe(True, "tunnel interfaces can be made (/dev/net/tun)")


FEATURES: Mapping[str, Callable[[], Probe]] = {
    "root": root,
    "user-namespaces": user_namespaces,
    "overlayfs": overlayfs,
    "seccomp": seccomp,
    "cgroup": cgroup,
    "cgroup-single-owner": cgroup_single_owner,
    "bridge-networks": bridge_networks,
    "private-networks": private_networks,
    "tun": tun,
}


def raising_limits() -> Probe:
    """CAP_SYS_RESOURCE: root without it cannot raise a limit above its own hard limit."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1:
            return Probe(True, "limits can be raised (CAP_SYS_RESOURCE)")
    return Probe(
        False,
        "CAP_SYS_RESOURCE is missing - a container's ulimits cannot go above this process's hard limits, "
        "and its oom_score_adj not below this process's",
        "give it to the container or service that moby-py runs in" if os.geteuid() == 0 else None,
    )


def subordinate_ids() -> Probe:
    """Without root: the ranges of /etc/subuid let images have more users than one."""
    missing = [tool for tool in ("newuidmap", "newgidmap") if not shutil.which(tool)]
    if missing:
        return Probe(
            False,
            f"{missing[0]} is not installed - containers have one user id only",
            "apt-get install uidmap",
        )
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = str(os.geteuid())
    for file in ("/etc/subuid", "/etc/subgid"):
        try:
            lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        if not any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines):
            return Probe(
                False,
                f"{file} has no range for {user} - containers have one user id only",
                f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
            )
    return Probe(True, f"{user} has subordinate user and group ids")


def _sysctl(name: str) -> str:
    try:
        return (Path("/proc/sys") / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _try(*argv: str) -> str:
    """Run a helper; "" when it succeeds, else the last line it said."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        return f"{argv[0]} is not installed (apt-get install util-linux)"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"{argv[0]} ended with status {done.returncode}"]
    return lines[-1]


def _writable_parent(path: Path) -> Path:
    """The nearest existing directory above `path`, if we may write there; else the temporary one."""
    for parent in path.parents:
        if parent.is_dir():
            if os.access(parent, os.W_OK | os.X_OK):
                return parent
            break
    with contextlib.suppress(OSError):
        return Path(tempfile.gettempdir())
    raise HostError("no directory to try an overlay mount in", hint="set TMPDIR to a directory of yours")
