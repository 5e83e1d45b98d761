"""Being root without root: the daemon of an ordinary user lives in a user and a mount namespace.

`enter` joins the namespaces that a *keeper* holds - a `sleep` that does nothing but exist, so that
mounts and containers stay reachable when the daemon is killed and started again - or starts one:

    we                                    keeper
    fork, fork ------------------------>  setsid, unshare(user + mount)
    newgidmap, newuidmap (or one id)  <-  "unshared"
    "mapped" -------------------------->  mounts become slaves of the host's: ours stay in here
    setns(user), setns(mount)         <-  "ready", exec sleep infinity (the pipe closes)
    RUN/keeper.json: pid + start time

Ids: 0 is the user, 1... are the ranges of /etc/subuid and /etc/subgid where newuidmap(1) and
newgidmap(1) are installed. Without them 0 is the only id there is (and setgroups(2) is off): images
whose files have several owners cannot be unpacked faithfully, and `USER` must be root.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from moby_py.directories import set_outside_uid
from moby_py.errors import HostError

log = logging.getLogger("moby_py.rootless")

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REC, MS_SLAVE = 0x4000, 0x80000
EVERY_ID = 4294967295
RECORD = "keeper.json"

IdMap = tuple[tuple[int, int, int], ...]
"""(id inside, id outside, how many)"""


def is_rootless() -> bool:
    """True where this process is not the host's root: an ordinary user, or root of a user
    namespace in which not every id of the host is itself."""
    return os.geteuid() != 0 or id_map("uid") != ((0, 0, EVERY_ID),)


def id_map(kind: str, pid: int | str = "self") -> IdMap:
    """The id map ("uid" or "gid") of a process's user namespace, as /proc shows it."""
    lines = Path(f"/proc/{pid}/{kind}_map").read_text(encoding="ascii").splitlines()
    return tuple((int(a), int(b), int(c)) for a, b, c in (line.split() for line in lines))


def enter(run_dir: Path) -> None:
    """Make this process root of the user and mount namespace that belongs to `run_dir`.

    For a single-threaded process only, early in its life. Joins the namespaces of a live keeper,
    or starts a keeper. The working directory is kept. Raises HostError: this host does not let
    ordinary users have user namespaces; says which switch forbids it.
    """
    here = Path.cwd()
    uid = os.geteuid()
    run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _locked(run_dir):
        pid = keeper(run_dir)
        if pid is None:
            pid = _start_keeper(run_dir)
        _join(pid)
    set_outside_uid(uid)
    os.chdir(here)


def leave(run_dir: Path) -> None:
    """Stop the keeper: the namespaces go with the last process in them. Idempotent."""
    with contextlib.suppress(FileNotFoundError), _locked(run_dir):
        record = _read_record(run_dir)
        if record is not None:
            _kill(*record)
        (run_dir / RECORD).unlink(missing_ok=True)


def keeper(run_dir: Path) -> int | None:
    """The pid of the live keeper of `run_dir`, or None. A pid that was given to another process
    since is told apart by its start time."""
    record = _read_record(run_dir)
    if record is None or start_time(record[0]) != record[1]:
        return None
    return record[0]


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc(5), field 22); None without one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Two `up` at once must not make two keepers."""
    fd = os.open(run_dir / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read_record(run_dir: Path) -> tuple[int, int] | None:
    try:
        record = json.loads((run_dir / RECORD).read_text(encoding="utf-8"))
        return int(record["pid"]), int(record["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _join(pid: int) -> None:
    descriptors = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "mnt")]
    try:
        for fd, kind in zip(descriptors, (CLONE_NEWUSER, CLONE_NEWNS), strict=True):
            _check(_libc().setns(fd, kind), "setns")
    except OSError as error:
        raise HostError(
            f"cannot join the namespaces of the keeper {pid} - {error.strerror}",
            hint=f"kill {pid}, if nothing runs in it any more, and start again",
        ) from error
    finally:
        for fd in descriptors:
            os.close(fd)


def _start_keeper(run_dir: Path) -> int:
    from_keeper, to_us = os.pipe()
    from_us, to_keeper = os.pipe()
    argv = _sleep_argv()
    between = os.fork()
    if between == 0:
        if os.fork() != 0:
            os._exit(0)
        _be_keeper(argv, from_us, to_us)
    os.close(to_us)
    os.close(from_us)
    os.waitpid(between, 0)
    try:
        with os.fdopen(from_keeper, "r", encoding="utf-8") as replies:
            word, _, rest = replies.readline().rstrip("\n").partition(" ")
            if word != "unshared":
                raise _refused(rest or "the keeper ended at once")
            pid = int(rest)
            try:
                _write_maps(pid)
                os.write(to_keeper, b"mapped\n")
                word, _, rest = replies.readline().rstrip("\n").partition(" ")
                after = replies.readline()  # the pipe closes by itself when exec succeeds
                if word != "ready" or after:
                    raise _refused(rest or after.strip() or "the keeper ended at once")
                started = start_time(pid)
                if started is None:
                    raise _refused("the keeper ended at once")
                partial = run_dir / (RECORD + ".new")
                partial.write_text(json.dumps({"pid": pid, "start": started}) + "\n", encoding="utf-8")
                partial.chmod(0o600)
                partial.rename(run_dir / RECORD)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise
            return pid
    finally:
        os.close(to_keeper)


def _be_keeper(argv: list[str], from_us: int, to_us: int) -> NoReturn:
    """The keeper's whole life before it sleeps. Nothing may leave this function but exec or _exit."""
    try:
        os.setsid()
        _check(_libc().unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
        os.write(to_us, b"unshared %d\n" % os.getpid())
        if os.read(from_us, 64) != b"mapped\n":
            os._exit(1)
        _check(_libc().mount(b"none", b"/", None, MS_REC | MS_SLAVE, None), "mount --make-rslave /")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.set_inheritable(to_us, False)
        os.write(to_us, b"ready\n")
        os.closerange(3, to_us)
        os.closerange(to_us + 1, 1 << 20)
        os.execve(argv[0], argv, {})  # noqa: S606 - no shell is meant
    except BaseException as error:  # told to the parent
        with contextlib.suppress(OSError):
            os.write(to_us, f"failed {error}\n".encode())
    os._exit(1)


def _sleep_argv() -> list[str]:
    """coreutils' or busybox's sleep holds the namespaces in half a megabyte; Python would take nine."""
    sleep = shutil.which("sleep", path="/usr/bin:/bin")
    if sleep:
        return [sleep, "infinity"]
    return [sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"]


def _write_maps(pid: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    uids, gids = _subordinate("/etc/subuid", uid), _subordinate("/etc/subgid", uid)
    tools = shutil.which("newuidmap"), shutil.which("newgidmap")
    if uids and gids and tools[0] and tools[1]:
        failure = _run_map_tool(tools[1], pid, gid, gids)
        if failure is None:
            failure = _run_map_tool(tools[0], pid, uid, uids)
            if failure is not None:
                raise HostError(
                    f"newuidmap refused the ids of /etc/subuid - {failure}",
                    hint="look at the lines of your user in /etc/subuid and /etc/subgid (subuid(5))",
                )
            return
        log.warning("one id only in this platform's user namespace: newgidmap refused - %s", failure)
    else:
        log.warning(
            "one id only in this platform's user namespace: %s",
            "no ranges for this user in /etc/subuid and /etc/subgid"
            if tools[0] and tools[1]
            else "newuidmap and newgidmap are not installed (apt-get install uidmap)",
        )
    try:
        Path(f"/proc/{pid}/setgroups").write_text("deny", encoding="ascii")
        Path(f"/proc/{pid}/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
    except OSError as error:
        raise _refused(f"writing its id map: {error.strerror}") from error


def _subordinate(file: str, uid: int) -> list[tuple[int, int]]:
    """(first id, how many) of each range that subuid(5) or subgid(5) gives this user."""
    import pwd

    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    ranges = []
    with contextlib.suppress(OSError):
        for line in Path(file).read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.strip().split(":")
            if len(fields) == 3 and fields[0] in names and fields[1].isdecimal() and fields[2].isdecimal():
                ranges.append((int(fields[1]), int(fields[2])))
    return [r for r in dict.fromkeys(ranges) if r[1] > 0]


def _run_map_tool(tool: str, pid: int, own: int, ranges: list[tuple[int, int]]) -> str | None:
    """Returns what the tool said, or None when it did its work."""
    argv, inside = [tool, str(pid), "0", str(own), "1"], 1
    for first, count in ranges:
        argv += [str(inside), str(first), str(count)]
        inside += count
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")


def _refused(detail: str) -> HostError:
    """Name the switch that forbids user namespaces; without one, the kernel's own word."""
    switches = (
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=28633"),
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    )
    for name, forbidding, remedy in switches:
        try:
            value = (Path("/proc/sys") / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if value == forbidding:
            return HostError(
                f"no user namespace for an ordinary user - "
                f"sysctl {name.replace('/', '.')} is {value} ({detail})",
                hint=f"{remedy}, or run the platform as root",
            )
    return HostError(
        f"no user namespace for an ordinary user - {detail}",
        hint="a container, a chroot or a security policy around this process may forbid it; or run as root",
    )


def _kill(pid: int, started: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if start_time(pid) == started:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            select.select([fd], [], [], 10)
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
