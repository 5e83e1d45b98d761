"""System calls that Python 3.11 has no function for, by ctypes. All raise OSError."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
NAMESPACES = {
    "user": CLONE_NEWUSER,
    "net": CLONE_NEWNET,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "cgroup": CLONE_NEWCGROUP,
    "pid": CLONE_NEWPID,
    "mnt": CLONE_NEWNS,
}

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
MNT_DETACH = 2
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8

AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH = 0x04, 0x40
# Mount calls have the same number on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442

PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_READ, PR_CAPBSET_DROP = 8, 38, 23, 24
PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE, PR_SET_NAME = 36, 4, 15
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 22, 2, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219, "ppc64le": 271, "s390x": 280}

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str, path: str | None = None) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}" if path is None else os.strerror(code), path)
    return result


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    done = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
    )
    _check(done, "mount", target)


def umount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), "umount", target)


def open_tree(path: str, *, recursive: bool) -> int:
    """A detached copy of what is mounted at `path`: it can be moved into another mount namespace."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    done = _libc.syscall(_OPEN_TREE, AT_FDCWD, os.fsencode(path), flags)
    return _check(done, "open_tree", path)


def move_mount(tree: int, target: int | str) -> None:
    """Mount a detached copy on `target`: a path, or an O_PATH descriptor."""
    where, path = (target, b"") if isinstance(target, int) else (AT_FDCWD, os.fsencode(target))
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if path else MOVE_MOUNT_T_EMPTY_PATH)
    done = _libc.syscall(_MOVE_MOUNT, tree, b"", where, path, flags)
    _check(done, "move_mount", None if isinstance(target, int) else target)


def mount_setattr(
    where: int | str, *, set_: int = 0, clear: int = 0, propagation: int = 0, recursive: bool = False
) -> None:
    """Change the flags of a mount, given by a descriptor of it or by path."""
    attributes = struct.pack("=QQQQ", set_, clear, propagation, 0)
    fd, path, flags = (
        (where, b"", AT_EMPTY_PATH) if isinstance(where, int) else (AT_FDCWD, os.fsencode(where), 0)
    )
    flags |= AT_RECURSIVE if recursive else 0
    done = _libc.syscall(_MOUNT_SETATTR, fd, path, flags, attributes, len(attributes))
    _check(done, "mount_setattr", None if isinstance(where, int) else where)


def setdomainname(name: str) -> None:
    data = name.encode()
    _check(_libc.setdomainname(data, len(data)), "setdomainname")


def prctl(option: int, second: int = 0, third: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return _check(
        _libc.prctl(option, ctypes.c_ulong(second), ctypes.c_ulong(third), zero, zero), f"prctl {option}"
    )


def capset(bits: int) -> None:
    """Effective and permitted become `bits`, inheritable becomes empty."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    _check(_libc.capset(header, struct.pack("=IIIIII", low, low, 0, high, high, 0)), "capset")


def seccomp(program: bytes) -> None:
    """Load a classic BPF program (8 bytes each instruction) for this thread and what it executes."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    argument = ctypes.create_string_buffer(fprog, len(fprog))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(argument))


def leave_session_keyring() -> None:
    """Join a new, empty one, as runc does: the daemon's may hold keys of whoever started it, and the
    default seccomp profile allows keyctl(2). A kernel without keyrings has none to leave."""
    number = _KEYCTL.get(os.uname().machine)
    if number is None or _libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None) >= 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.ENOSYS, errno.EPERM):  # EPERM: a seccomp filter around all of us forbids it
        raise OSError(code, f"session keyring: {os.strerror(code)}")


def rename_process(name: bytes) -> None:
    """Take the command line and the environment out of /proc/self: a container sees its init there,
    and has no business with the host's paths."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arguments, arguments_end, environment, environment_end = (int(field) for field in fields[45:49])
    ctypes.memset(arguments, 0, arguments_end - arguments)
    ctypes.memset(environment, 0, environment_end - environment)
    ctypes.memmove(arguments, name, min(len(name), arguments_end - arguments - 1))
    prctl(PR_SET_NAME, ctypes.cast(ctypes.c_char_p(name), ctypes.c_void_p).value or 0)
