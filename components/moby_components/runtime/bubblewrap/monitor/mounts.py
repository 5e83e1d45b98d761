"""Finish the container's file system from inside it: the root is the container's already, so no
symbolic link of an image can lead a mount anywhere else.

bwrap has made the root, /proc, /dev and /dev/pts. What it has no word for comes here: binds with
every mount option (copies of host trees that the monitor took before), tmpfs with options, sysfs,
mqueue, cgroup, devices, masked and read-only paths, the read-only root.
"""

from __future__ import annotations

import errno
import os
import stat

from . import kernel
from .lean import Any
from .report import Refused

_COVERED = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
"""bwrap mounts these read-only over themselves, where it finds them writable."""
_NULL = "/dev/null"


def take_trees(plan: dict[str, Any]) -> dict[str, int]:
    """In the monitor, on the host: a detached copy of every tree that the container gets, by a key
    that `furnish` knows. Raises Refused naming the source."""
    trees: dict[str, int] = {}
    for index, mount in enumerate(plan["mounts"]):
        if mount["kind"] == "bind":
            tree = trees[f"mount{index}"] = _take(mount["source"], recursive=mount["recursive"])
            _set_flags(tree, mount, nodev=not plan["allow_devices"])
    for index, device in enumerate(plan["devices"]):
        trees[f"device{index}"] = _take(device["source"], recursive=False)
    return trees


def _take(source: str, *, recursive: bool) -> int:
    try:
        return kernel.open_tree(source, recursive=recursive)
    except OSError as error:
        raise Refused(f"cannot mount {source}: {(error.strerror or '').lower()}", "invalid") from error


def _set_flags(tree: int, mount: dict[str, Any], *, nodev: bool) -> None:
    """Here, since only the namespace that a tree was copied in may change it before it is mounted."""
    flags = mount["set"] | (kernel.ATTR_NODEV if nodev else 0)
    try:
        kernel.mount_setattr(tree, propagation=mount["propagation"], recursive=True)
        if flags:
            kernel.mount_setattr(tree, set_=flags, recursive=mount["recursive"])
    except OSError as error:
        raise Refused(f"cannot mount {mount['source']}: {(error.strerror or '').lower()}") from error


def furnish(plan: dict[str, Any], trees: dict[str, int]) -> None:
    """All of it, in order. Raises Refused naming the target that failed."""
    devices_ok = plan["allow_devices"]
    kernel.mount_setattr("/", clear=kernel.ATTR_NOSUID | (kernel.ATTR_NODEV if devices_ok else 0))
    if plan["privileged"]:
        for path in _COVERED:
            try:
                kernel.umount(path)
            except OSError:
                pass
    for index, mount in enumerate(plan["mounts"]):
        try:
            if mount["kind"] == "bind":
                _place(trees[f"mount{index}"], mount["target"])
            else:
                _file_system(mount)
        except OSError as error:
            text = (error.strerror or str(error)).lower()
            raise Refused(f"cannot mount {mount['source']} on {mount['target']}: {text}") from error
    for index, device in enumerate(plan["devices"]):
        _device(device["target"], trees[f"device{index}"])
    for path in plan["readonly"]:
        _read_only(path)
    for path in plan["masked"]:
        _mask(path)


def seal(plan: dict[str, Any]) -> None:
    """The last change: the root becomes read-only, if it is to be."""
    if plan["readonly_rootfs"]:
        kernel.mount_setattr("/", set_=kernel.ATTR_RDONLY)


def _place(tree: int, target: str) -> None:
    """Mount a detached tree, complete with its flags, and close it."""
    fd = _make_target(target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))
    kernel.move_mount(tree, fd)
    os.close(fd)
    os.close(tree)


def _file_system(mount: dict[str, Any]) -> None:
    target = mount["target"]
    fd = _make_target(target, directory=True)
    if mount["kind"] == "cgroup":
        _cgroup(os.readlink(f"/proc/self/fd/{fd}"), mount)
    else:
        kernel.mount(mount["source"], f"/proc/self/fd/{fd}", mount["kind"], mount["flags"], mount["data"])
    os.close(fd)


def _cgroup(target: str, mount: dict[str, Any]) -> None:
    """Each controller read-only, as far as this host lets us: programs read their limits there."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | mount["flags"]
    try:
        if mount["controllers"] is None:
            kernel.mount("cgroup", target, "cgroup2", flags)
            return
        kernel.mount("tmpfs", target, "tmpfs", flags & ~kernel.MS_RDONLY, "mode=755,size=64k")
        for controller in mount["controllers"]:
            os.mkdir(f"{target}/{controller}", 0o755)
            try:
                kernel.mount("cgroup", f"{target}/{controller}", "cgroup", flags, controller)
            except OSError:
                os.rmdir(f"{target}/{controller}")
        kernel.mount_setattr(target, set_=flags & 15)
    except OSError:
        pass


def _device(target: str, tree: int) -> None:
    try:
        _place(tree, target)
    except OSError as error:
        raise Refused(f"cannot make the device {target}: {(error.strerror or '').lower()}") from error


def _read_only(path: str) -> None:
    try:
        tree = kernel.open_tree(path, recursive=True)
    except FileNotFoundError:
        return
    kernel.mount_setattr(tree, set_=kernel.ATTR_RDONLY, recursive=True)
    kernel.move_mount(tree, path)
    os.close(tree)


def _mask(path: str) -> None:
    try:
        directory = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    if directory:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, "size=0")
        return
    # A mount of the user's could have put something else at /dev/null.
    fd = os.open(_NULL, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
            raise Refused(f"cannot mask {path}: {_NULL} of the container is not the null device")
        kernel.mount(f"/proc/self/fd/{fd}", path, "", kernel.MS_BIND)
    finally:
        os.close(fd)


def _make_target(target: str, *, directory: bool) -> int:
    """Make sure there is something of the right kind to mount on; returns an O_PATH descriptor of it.

    Links resolve within the container. Another container that shares a volume may change them
    meanwhile, so what was opened in the end is what is judged and mounted on.
    """
    path = os.path.realpath(target)
    _judge_target(target, path)
    if directory:
        os.makedirs(path, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(path, flags, 0o644))
        except FileExistsError:
            pass
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    _judge_target(target, os.readlink(f"/proc/self/fd/{fd}"))
    if stat.S_ISDIR(os.fstat(fd).st_mode) != directory:
        words = ("a file", "is") if not directory else ("a directory", "is not")
        raise Refused(f"cannot mount {words[0]} on {target}: it {words[1]} a directory", "invalid")
    return fd


def _judge_target(target: str, path: str) -> None:
    if path in ("/", "/proc") or path.startswith("/proc/"):
        raise Refused(f"cannot mount on {target}: {path} is not a place for mounts", "invalid")
