"""Mounts by system call: no `mount` process, exact errors, everything by ctypes.

mount(2), umount2(2), and the listing of /proc/self/mountinfo. Options come as mount(8) spells them
and are split into the kernel's flags and its data string. Option strings that pass one page (an
overlay of very many layers) go through fsopen(2)/fsconfig(2), one option at a time.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_SYNCHRONOUS, MS_REMOUNT = 1, 2, 4, 8, 16, 32
MS_MANDLOCK, MS_DIRSYNC, MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME = 64, 128, 256, 1024, 2048
MS_BIND, MS_MOVE, MS_REC, MS_SILENT = 4096, 8192, 16384, 32768
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME, MS_LAZYTIME = 1 << 21, 1 << 24, 1 << 25
MNT_FORCE, MNT_DETACH, UMOUNT_NOFOLLOW = 1, 2, 8
CLONE_NEWNET, CLONE_FS = 0x40000000, 0x200

_SET = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": MS_SYNCHRONOUS,
    "dirsync": MS_DIRSYNC,
    "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "nosymfollow": MS_NOSYMFOLLOW,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
    "lazytime": MS_LAZYTIME,
    "remount": MS_REMOUNT,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
}
_CLEAR = {
    "rw": MS_RDONLY,
    "suid": MS_NOSUID,
    "dev": MS_NODEV,
    "exec": MS_NOEXEC,
    "async": MS_SYNCHRONOUS,
    "atime": MS_NOATIME,
    "diratime": MS_NODIRATIME,
}
_PROPAGATION = {
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}
_IGNORED = frozenset({"defaults", "auto", "noauto", "user", "nouser", "_netdev", "nofail"})

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)

_PAGE = 4096
_FSOPEN, _FSCONFIG, _FSMOUNT, _MOVE_MOUNT = 430, 431, 432, 429
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTRS = {MS_RDONLY: 1, MS_NOSUID: 2, MS_NODEV: 4, MS_NOEXEC: 8, MS_NOATIME: 0x10, MS_NODIRATIME: 0x80}


def parse_options(options: Iterable[str]) -> tuple[int, int, str]:
    """mount(8) options -> (mount flags, propagation flags, data for the filesystem)."""
    flags = propagation = 0
    data: list[str] = []
    for option in options:
        if option in _SET:
            flags |= _SET[option]
        elif option in _CLEAR:
            flags &= ~_CLEAR[option]
        elif option in _PROPAGATION:
            propagation |= _PROPAGATION[option]
        elif option and option not in _IGNORED:
            data.append(option)
    return flags, propagation, ",".join(data)


def mount(fstype: str, source: str, target: str | os.PathLike[str], options: Sequence[str] = ()) -> None:
    """Mount as `mount -t fstype -o options source target` does. A read-only bind takes the two
    steps that the kernel wants. Raises OSError with the target as its filename."""
    where = os.fspath(target)
    flags, propagation, data = parse_options(options)
    if fstype == "bind" and not flags & MS_BIND:
        flags |= MS_BIND
    if len(data) >= _PAGE and not flags & MS_BIND:
        _mount_long(fstype, source, where, flags, data)
    else:
        _mount(source, where, "" if flags & MS_BIND else fstype, flags, data)
    try:
        changed = flags & ~(MS_BIND | MS_REC | MS_SILENT)
        if flags & MS_BIND and changed:
            _mount("", where, "", changed | MS_BIND | MS_REMOUNT | _locked(where), "")
        if propagation:
            _mount("", where, "", propagation, "")
    except OSError:
        umount(where, lazy=True)
        raise


def spread(target: str | os.PathLike[str], how: str) -> None:
    """How mounts and unmounts at and below `target` are shared with others: "rslave", "rprivate", ...
    Raises OSError."""
    _mount("", os.fspath(target), "", _PROPAGATION[how], "")


def make_readonly(target: str | os.PathLike[str]) -> None:
    """This one mount becomes read-only, whoever else has the same file system. Raises OSError."""
    where = os.fspath(target)
    _mount("", where, "", MS_RDONLY | MS_BIND | MS_REMOUNT | _locked(where), "")


def umount(target: str | os.PathLike[str], *, lazy: bool = False) -> bool:
    """Unmount. False where nothing was mounted. `lazy` detaches at once; what is open ends by itself."""
    if _libc.umount2(os.fsencode(target), UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0)) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT):
        return False
    raise OSError(code, os.strerror(code), os.fspath(target))


def umount_all(target: str | os.PathLike[str]) -> int:
    """Unmount everything at and below `target`, deepest first, whoever mounted it. Busy mounts are
    detached lazily. Returns how many there were. Idempotent."""
    count = 0
    for path in reversed(mounted_under(target)):
        try:
            done = umount(path)
        except OSError:
            done = umount(path, lazy=True)
        count += done
    return count


def mounted_under(target: str | os.PathLike[str]) -> list[str]:
    """Mount points at and below `target`, in the order they were mounted (stacked ones repeat)."""
    wanted = os.path.realpath(target)
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        path = os.fsdecode(_unescape(line.split(b" ", 5)[4]))
        if path == wanted or path.startswith(wanted.rstrip("/") + "/"):
            found.append(path)
    return found


def is_mounted(target: str | os.PathLike[str]) -> bool:
    """Whether `target` itself is a mount point."""
    return os.path.realpath(target) in mounted_under(target)


def pin_network_namespace(path: str | os.PathLike[str]) -> None:
    """Make a new network namespace and keep it alive as a bind mount on `path` (as `ip netns add`).

    The thread that makes it must end with it, so it is one of its own; nobody else's namespace
    changes. A failed call leaves no file. Blocks for about a millisecond.
    """
    import threading

    failure: list[OSError] = []

    def work() -> None:
        try:
            unshare(CLONE_NEWNET)
            mount("bind", f"/proc/self/task/{threading.get_native_id()}/ns/net", path)
        except OSError as error:
            failure.append(error)

    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o400))
    thread = threading.Thread(target=work, name="netns")
    thread.start()
    thread.join()
    if failure:
        Path(path).unlink()
        raise failure[0]


def unshare(flags: int) -> None:
    """unshare(2) of the calling thread (Python has it from 3.12 on)."""
    if _libc.unshare(flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "unshare")


def _mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    done = _libc.mount(
        os.fsencode(source) or b"none",
        os.fsencode(target),
        fstype.encode() or None,
        flags,
        os.fsencode(data) or None,
    )
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _locked(target: str) -> int:
    """Flags that a remount must repeat: in a user namespace the kernel refuses to clear them."""
    state = os.statvfs(target)
    pairs = ((os.ST_NOSUID, MS_NOSUID), (os.ST_NODEV, MS_NODEV), (os.ST_NOEXEC, MS_NOEXEC))
    return sum(flag for bit, flag in pairs if state.f_flag & bit) | (
        MS_RDONLY if state.f_flag & os.ST_RDONLY else 0
    )


def _mount_long(fstype: str, source: str, target: str, flags: int, data: str) -> None:
    """The new mount API, for data longer than mount(2) takes (Linux 6.5 for overlay's lowerdir+)."""
    context = _call(_FSOPEN, target, fstype.encode(), 1)
    try:
        _config(context, target, _FSCONFIG_SET_STRING, b"source", os.fsencode(source))
        for option in data.split(","):
            key, has_value, value = option.partition("=")
            if key == "lowerdir":
                for layer in value.split(":"):
                    _config(context, target, _FSCONFIG_SET_STRING, b"lowerdir+", os.fsencode(layer))
            elif has_value:
                _config(context, target, _FSCONFIG_SET_STRING, key.encode(), os.fsencode(value))
            else:
                _config(context, target, _FSCONFIG_SET_FLAG, key.encode(), None)
        _config(context, target, _FSCONFIG_CMD_CREATE, None, None)
        attributes = sum(attr for flag, attr in _MOUNT_ATTRS.items() if flags & flag)
        made = _call(_FSMOUNT, target, context, 1, attributes)
        try:
            _call(_MOVE_MOUNT, target, made, b"", -100, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            os.close(made)
    finally:
        os.close(context)


def _config(context: int, target: str, command: int, key: bytes | None, value: bytes | None) -> None:
    _call(_FSCONFIG, target, context, command, key, value, 0)


def _call(number: int, target: str, *arguments: int | bytes | None) -> int:
    typed = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result = int(_libc.syscall(ctypes.c_long(number), *typed))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)
    return result


def _unescape(text: bytes) -> bytes:
    """mountinfo writes space, tab, newline and backslash as three octal digits."""
    if b"\\" not in text:
        return text
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        text = text.replace(code, char)
    return text
