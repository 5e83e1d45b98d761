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
            trees[f"mount{index}"] = _take(mount["source"], recursive=mount["recursive"])
    for index, device in enumerate(plan["devices"]):
        trees[f"device{index}"] = _take(device["source"], recursive=False)
    return trees


def _take(source: str, *, recursive: bool) -> int:
    try:
        return kernel.open_tree(source, recursive=recursive)
    except OSError as error:
        raise Refused(f"cannot mount {source}: {(error.strerror or '').lower()}", "invalid") from error


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
                _bind(mount, trees[f"mount{index}"], nodev=not devices_ok)
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


def _bind(mount: dict[str, Any], tree: int, *, nodev: bool) -> None:
    target = _make_target(mount["target"], directory=stat.S_ISDIR(os.fstat(tree).st_mode))
    kernel.move_mount(tree, target)
    os.close(tree)
    flags = mount["set"] | (kernel.ATTR_NODEV if nodev else 0)
    kernel.mount_setattr(target, propagation=mount["propagation"], recursive=True)
    if flags:
        kernel.mount_setattr(target, set_=flags, recursive=mount["recursive"])


def _file_system(mount: dict[str, Any]) -> None:
    target = _make_target(mount["target"], directory=True)
    kind = mount["kind"]
    if kind == "cgroup":
        _cgroup(target, mount)
        return
    kernel.mount(mount["source"], target, kind, mount["flags"], mount["data"])


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
        kernel.move_mount(tree, _make_target(target, directory=False))
        os.close(tree)
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


def _make_target(target: str, *, directory: bool) -> str:
    """Make sure there is something of the right kind to mount on; returns its real path."""
    path = os.path.realpath(target)
    if path in ("/", "/proc") or path.startswith("/proc/"):
        raise Refused(f"cannot mount on {target}: {path} is not a place for mounts", "invalid")
    if directory:
        os.makedirs(path, 0o755, exist_ok=True)
        return path
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise Refused(f"cannot mount a file on {target}: it is a directory", "invalid") from None
    return path
