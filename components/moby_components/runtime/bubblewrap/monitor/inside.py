"""The container's first process, or an exec's, from its fork to its execve.

It is the monitor's forked child: it brings its modules along in memory, so the container needs no
Python. `enter` goes into the namespaces; everything after that happens in the container's world.
"""

from __future__ import annotations

import fcntl
import os
import struct

from . import execute, identity, kernel, mounts
from .lean import Any, NoReturn, Socket
from .report import Refused, explain, receive, send
from .stdio import set_size

JOINED = ("user", "net", "ipc", "uts", "cgroup", "mnt")
"""In this order; the pid namespace came with the fork."""
_TIOCSPTLCK, _TIOCGPTN, _TIOCGPTPEER = 0x40045431, 0x80045430, 0x5441


def first(
    plan: dict[str, Any], control: Socket, stdio: tuple[int, int, int] | None, trees: dict[str, int]
) -> NoReturn:
    """Never returns. `control`: "enter" with the namespaces' descriptors comes in, "ready" (and the
    terminal's master) or an error goes out, "start" comes in, and an execve closes it."""
    status = execute.NOT_EXECUTABLE
    try:
        # Those who share its pid namespace must not look into it before its execve.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        kernel.leave_session_keyring()
        message, fds = receive(control)
        if message is None:
            os._exit(status)
        process: dict[str, Any] = plan["process"]
        program = bytes.fromhex(process["seccomp"]) if process["seccomp"] is not None else None
        if process["oom_score_adj"] is not None:
            _set_oom_score(process["oom_score_adj"])
        if process["apparmor"]:
            _set_apparmor(process["apparmor"])
        identity.set_limits(process["rlimits"])
        enter(dict(zip(message["namespaces"], fds, strict=True)), plan["sysctls"], plan["domainname"])
        if plan["mode"] == "create":
            mounts.furnish(plan, trees)
            os.makedirs(process["cwd"], 0o755, exist_ok=True)
        master: tuple[int, ...] = ()
        if stdio is None:
            number, slave = _terminal(process, console=plan["mode"] == "create")
            master, stdio = (number,), (slave, slave, slave)
        if plan["mode"] == "create":
            mounts.seal(plan)
        path = execute.find(process["args"], process["env"], process["cwd"])
        if not os.path.isdir(process["cwd"]):
            raise Refused(
                f'cannot enter the working directory "{process["cwd"]}": no such directory', "invalid"
            )
        send(control, {"ready": True}, master)
        for fd in master:
            os.close(fd)
        message, _ = receive(control)
        if message is None:
            os._exit(status)
        execute.connect(stdio, process["uid"], tty=process["tty"])
        _close_others(control.fileno())
        execute.run(path, process, program, control)
    except BaseException as error:  # told to the monitor, whatever it is
        send(control, explain(error))
    os._exit(status)


def enter(namespaces: dict[str, int], sysctls: dict[str, str], domainname: str) -> None:
    """Join; set what belongs to a namespace from outside, through the host's own /proc."""
    for kind in JOINED:
        if kind == "mnt":
            for name, value in sysctls.items():
                _set_sysctl(name, value)
            if domainname:
                kernel.setdomainname(domainname)
        if kind in namespaces:
            kernel.setns(namespaces[kind], kernel.NAMESPACES[kind])
            os.close(namespaces[kind])
    os.chdir("/")


def _set_sysctl(name: str, value: str) -> None:
    """net, ipc and uts settings show the values of whoever opens them."""
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", "w") as file:
            file.write(value)
    except OSError as error:
        raise Refused(f'cannot set sysctl "{name}": {(error.strerror or "").lower()}', "invalid") from error


def _set_oom_score(score: int) -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except PermissionError:
        raise Refused("cannot lower oom_score_adj: CAP_SYS_RESOURCE is missing here", "invalid") from None


def _set_apparmor(profile: str) -> None:
    """The profile of the coming execve."""
    for path in ("/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"):
        if os.path.exists(path):
            try:
                with open(path, "w") as file:
                    file.write(f"exec {profile}")
            except OSError as error:
                text = (error.strerror or "").lower()
                raise Refused(f'cannot set the apparmor profile "{profile}": {text}', "invalid") from error
            return


def _terminal(process: dict[str, Any], *, console: bool) -> tuple[int, int]:
    """A new terminal of the container's own /dev/pts: (master, slave)."""
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if process["size"]:
        set_size(master, *process["size"])
    if console:
        try:
            os.close(os.open("/dev/console", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
        number = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, b"\0" * 4))[0]
        kernel.mount(f"/dev/pts/{number}", "/dev/console", "", kernel.MS_BIND)
    return master, slave


def _close_others(kept: int) -> None:
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 20)
