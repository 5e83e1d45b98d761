"""A new container: bwrap makes the sandbox, our own first process moves in.

    monitor        first process (pid 1)          bwrap
    ------------   ----------------------------   ------------------------------------------------
    copy trees
    fork, fork --> waits (in its own pid
                   namespace already)
    start bwrap ------------------------------->  joins that pid namespace, unshares mount, ipc, uts,
                                                  net, cgroup; root, /proc, /dev; pivot_root; waits
    hold its namespaces by descriptor  <--------  --info-fd: the pid inside
    let it end  ------------------------------->  `execvp /` fails, as planned: all was set up
    "enter" -----> setns, mounts, limits, user
               <-- "ready"

Why not let bwrap execute the program itself: it can only switch to another user inside a user
namespace (which then does not own the engine's network namespace: no port 80, no ping), always sets
no_new_privs, sets no supplementary groups, and drops no capability of root's bounding set. Our process
does what runc's init does, in runc's order; bwrap keeps what it is good at.
"""

from __future__ import annotations

import errno
import marshal
import os

from . import inside, kernel, mounts
from .lean import Any, NoReturn, Socket, signals, sockets
from .report import Refused, explain, receive, send

_EXPECTED = b"execvp /: Permission denied"
"""bwrap's last words when everything before the program worked."""
_UNSHARED = ("ipc", "uts", "net", "cgroup")


class Process:
    """The first process as the monitor holds it: waiting for `start`."""

    def __init__(self, pid: int, control: Socket) -> None:
        self.pid = pid
        self.control = control
        self.pidfd = os.pidfd_open(pid)

    def kill(self) -> None:
        try:
            signals.pidfd_send_signal(self.pidfd, signals.SIGKILL)
        except ProcessLookupError:
            pass


def fork_first(
    plan: dict[str, Any], stdio: tuple[int, int, int] | None, trees: dict[str, int], pid_namespace: int | str
) -> Process:
    """Fork the first process into a pid namespace: "private", "host", or that of a descriptor.

    A process cannot leave the pid namespace that its children are born into (without privileges over
    the host's), so one in between goes there, forks, and leaves the first process to us.
    """
    ours, theirs = sockets.socketpair(sockets.AF_UNIX, sockets.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    between = os.fork()
    if between == 0:
        _fork_there(plan, stdio, trees, pid_namespace, (ours, theirs, writer))
    theirs.close()
    os.close(writer)
    try:
        os.waitpid(between, 0)
        answer = marshal.loads(os.read(reader, 4096))
    finally:
        os.close(reader)
        # What the container orphans later is not ours to reap.
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 0)
    if "error" in answer:
        raise Refused(answer["error"], answer["kind"])
    return Process(answer["pid"], ours)


def _fork_there(
    plan: dict[str, Any],
    stdio: tuple[int, int, int] | None,
    trees: dict[str, int],
    pid_namespace: int | str,
    ends: tuple[Socket, Socket, int],
) -> NoReturn:
    ours, theirs, writer = ends
    try:
        if pid_namespace == "private":
            kernel.unshare(kernel.CLONE_NEWPID)
        elif isinstance(pid_namespace, int):
            kernel.setns(pid_namespace, kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            ours.close()
            os.close(writer)
            inside.first(plan, theirs, stdio, trees)
        os.write(writer, marshal.dumps({"pid": pid}))
    except BaseException as error:  # told to the monitor
        os.write(writer, marshal.dumps(explain(error)))
    os._exit(0)


def create(plan: dict[str, Any], stdio: tuple[int, int, int] | None) -> tuple[Process, int]:
    """The waiting first process, and its terminal's master (-1 without). Raises Refused or OSError;
    then nothing of it is left."""
    trees = mounts.take_trees(plan)
    wanted: dict[str, str] = plan["namespaces"]
    joined = {
        kind: os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        for kind, path in wanted.items()
        if path.startswith("/")
    }
    process = fork_first(plan, stdio, trees, joined.get("pid", wanted["pid"]))
    try:
        for fd in trees.values():
            os.close(fd)
        join_cgroups(plan["cgroups"], process.pid)
        namespaces = _sandbox(plan, process.pid, joined)
        master = enter(process, namespaces)
        limit(plan["limits"])
    except BaseException:
        process.kill()
        try:
            os.waitpid(process.pid, 0)
        except ChildProcessError:
            pass
        raise
    finally:
        for fd in joined.values():
            os.close(fd)
    return process, master


def enter(process: Process, namespaces: dict[str, int]) -> int:
    """Send the first process into the namespaces and wait until it is ready; its terminal, or -1."""
    send(process.control, {"namespaces": list(namespaces)}, tuple(namespaces.values()))
    for fd in namespaces.values():
        os.close(fd)
    message, fds = receive(process.control)
    if message is None:
        raise Refused("the container's first process ended before it was ready")
    if "error" in message:
        raise Refused(message["error"], message["kind"])
    return fds[0] if fds else -1


def join_cgroups(groups: list[str], pid: int) -> None:
    for group in groups:
        try:
            with open(f"{group}/cgroup.procs", "w") as file:
                file.write(str(pid))
        except OSError as error:
            raise Refused(f"cannot enter the cgroup {group}: {(error.strerror or '').lower()}") from error


def limit(writes: list[list[Any]]) -> None:
    """Each is [file, value, optional]. Done last: making a container takes more than some may have."""
    for file, value, optional in writes:
        try:
            with open(file, "w") as stream:
                stream.write(value)
        except OSError as error:
            if optional and error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES):
                continue
            text = (error.strerror or "").lower()
            raise Refused(f"cannot set {os.path.basename(file)} to {value}: {text}", "invalid") from error


def _sandbox(plan: dict[str, Any], first: int, joined: dict[str, int]) -> dict[str, int]:
    """Run bwrap; returns descriptors of the namespaces it made (or of those joined)."""
    pid_namespace = os.open(f"/proc/{first}/ns/pid", os.O_RDONLY)
    info, info_end = os.pipe()
    block, release = os.pipe()
    arguments = os.memfd_create("arguments", 0)
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    argv = ["--bind", plan["rootfs"], "/", "--proc", "/proc", "--dev", "/dev", "--chdir", "/"]
    argv += [f"--unshare-{kind}" for kind in _UNSHARED if plan["namespaces"][kind] == "private"]
    if plan["namespaces"]["pid"] != "host":
        argv += ["--pidns", str(pid_namespace)]
    if plan["namespaces"]["uts"] == "private" and plan["hostname"]:
        argv += ["--hostname", plan["hostname"]]
    argv += ["--info-fd", str(info_end), "--block-fd", str(block)]
    os.write(arguments, b"".join(os.fsencode(word) + b"\0" for word in argv))
    os.lseek(arguments, 0, os.SEEK_SET)
    inherited = (pid_namespace, info_end, block, arguments)
    pid = os.fork()
    if pid == 0:
        _execute_bwrap(plan, joined, arguments, errors, inherited)
    for fd in (info_end, block, arguments, pid_namespace):
        os.close(fd)
    found: dict[str, int] = {}
    try:
        text = _read_object(info)
        if text:
            child = int(text.partition(b'"child-pid":')[2].partition(b",")[0].strip(b" \n}"))
            for kind in ("mnt", *(k for k in _UNSHARED if plan["namespaces"][k] == "private")):
                found[kind] = os.open(f"/proc/{child}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        found |= {kind: os.dup(fd) for kind, fd in joined.items() if kind not in ("pid", "user")}
    finally:
        os.close(info)
        os.close(release)  # end of file releases it too
        os.waitpid(pid, 0)
        said = os.pread(errors, 4096, 0).strip()
        os.close(errors)
    if not said.endswith(_EXPECTED):
        for fd in found.values():
            os.close(fd)
        words = said.decode(errors="replace").removeprefix("bwrap: ") or "no word from it"
        raise Refused(f"bwrap could not make the sandbox: {words}")
    return found


def _execute_bwrap(
    plan: dict[str, Any], joined: dict[str, int], arguments: int, errors: int, inherited: tuple[int, ...]
) -> None:
    try:
        join_cgroups(plan["cgroups"], os.getpid())
        for kind, fd in joined.items():
            if kind in _UNSHARED:
                kernel.setns(fd, kernel.NAMESPACES[kind])
        os.dup2(errors, 2)
        for fd in inherited:
            os.set_inheritable(fd, True)
        os.chdir("/")
        bwrap: str = plan["bwrap"]
        os.execve(bwrap, ["bwrap", "--args", str(arguments), "--", "/"], {"LC_ALL": "C"})  # noqa: S606
    except BaseException as error:  # the parent reads it as bwrap's words
        os.write(errors, f"{error}".encode())
    os._exit(1)


def _read_object(fd: int) -> bytes:
    """bwrap's one JSON object; its intermediate process keeps the pipe open beyond it."""
    text = b""
    while b"}" not in text and (piece := os.read(fd, 4096)):
        text += piece
    return text
