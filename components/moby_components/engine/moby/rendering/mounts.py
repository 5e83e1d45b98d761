"""What is mounted where, as the body says it: Binds, Mounts, Tmpfs, Volumes, VolumesFrom.

All forms become one `MountPlan` per destination; inspect's MountPoint objects and the ContainerSpec's
mounts are made of it. An explicit mount wins over VolumesFrom, and both over the image's volumes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from moby_py.errors import InvalidArgument

VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_TMPFS_FLAGS = "rw ro exec noexec suid nosuid dev nodev sync async atime noatime relatime strictatime"
_MODES = frozenset({"rw", "ro", "z", "Z", "nocopy", "delegated", "cached", "consistent", *_PROPAGATIONS})


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """One destination. `type` bind, volume, tmpfs or secret; `source` a host path, a volume's name
    ("": an anonymous one is made) or a secret's name; `options` are a tmpfs's."""

    type: str
    target: str
    source: str = ""
    readonly: bool = False
    mode: str = ""
    propagation: str = ""
    recursive: bool = True
    create_source: bool = False
    copy: bool = True
    subpath: str = ""
    driver: str = ""
    driver_options: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> MountPlan:
        """From `asdict` gone through JSON."""
        pairs = {key: tuple(tuple(pair) for pair in data[key]) for key in ("driver_options", "labels")}
        return cls(**{**data, **pairs, "options": tuple(data["options"])})

    def point(self, mountpoint: str = "") -> dict[str, Any]:
        """Docker's MountPoint; `mountpoint` is a volume's folder on the host."""
        shown: dict[str, Any] = {
            "Type": self.type,
            "Source": mountpoint or ("" if self.type == "tmpfs" else self.source),
            "Destination": self.target,
            "Mode": self.mode,
            "RW": not self.readonly,
            "Propagation": self.propagation,
        }
        if self.type == "volume":
            shown |= {"Name": self.source, "Driver": self.driver}
        return shown


Lookup = Callable[[str], Sequence[MountPlan]]
"""From a container's ref to its mounts, for VolumesFrom."""


def plan(body: Mapping[str, Any], volumes_from: Lookup) -> tuple[MountPlan, ...]:
    """All mounts of a body, shallow destinations first. Raises InvalidArgument."""
    host = body.get("HostConfig") or {}
    explicit = [_bind(text) for text in host.get("Binds") or ()]
    explicit += [_mount(entry) for entry in host.get("Mounts") or ()]
    explicit += [_tmpfs(target, options) for target, options in (host.get("Tmpfs") or {}).items()]
    found: dict[str, MountPlan] = {}
    for entry in explicit:
        if entry.target in found:
            raise InvalidArgument(f"Duplicate mount point: {entry.target}")
        found[entry.target] = entry
    for text in host.get("VolumesFrom") or ():
        ref, _, mode = text.partition(":")
        if not ref or mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidArgument(f"invalid volumes-from specification: '{text}'")
        for entry in volumes_from(ref):
            if entry.target not in found:
                readonly = entry.readonly or mode == "ro"
                found[entry.target] = replace(entry, readonly=readonly, copy=False)
    for target in body.get("Volumes") or {}:
        clean = _target(target, target)
        found.setdefault(clean, MountPlan(type="volume", target=clean))
    return tuple(sorted(found.values(), key=lambda entry: (entry.target.count("/"), entry.target)))


def check_volume_name(name: str) -> None:
    """Raises InvalidArgument in Docker's words."""
    if not VOLUME_NAME.fullmatch(name) or len(name) > 255:
        raise InvalidArgument(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, '
            "use absolute path"
        )


def _bind(text: str) -> MountPlan:
    """`src:dst[:mode,...]`; without a slash in front `src` is a volume's name; `dst` alone is an
    anonymous volume."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    clean = _target(target, text)
    mode = parts[2] if len(parts) == 3 else ""
    words = mode.split(",") if mode else []
    spread = [word for word in words if word in _PROPAGATIONS]
    if set(words) - _MODES or len(spread) > 1 or len(set(words)) != len(words) or {"ro", "rw"} <= set(words):
        raise InvalidArgument(f"invalid mode: {mode}")
    readonly = "ro" in words
    if not source.startswith("/"):
        if source:
            check_volume_name(source)
        if spread:
            raise InvalidArgument(f"invalid mode: {mode}")
        return MountPlan(
            type="volume", target=clean, source=source, readonly=readonly, mode=mode or "z",
            copy="nocopy" not in words,
        )  # fmt: skip
    if "nocopy" in words:
        raise InvalidArgument(f"invalid mode: {mode}")
    return MountPlan(
        type="bind",
        target=clean,
        source=posixpath.normpath(source),
        readonly=readonly,
        mode=mode,
        propagation=spread[0] if spread else "rprivate",
        create_source=True,
    )


def _mount(entry: Mapping[str, Any]) -> MountPlan:
    """One of HostConfig.Mounts."""
    kind, source = str(entry.get("Type") or "bind"), str(entry.get("Source") or "")

    def wrong(why: str) -> InvalidArgument:
        return InvalidArgument(f'invalid mount config for type "{kind}": {why}')

    if kind not in ("bind", "volume", "tmpfs", "secret"):
        raise InvalidArgument(f"invalid mount config for type \"{kind}\": mount type unknown: '{kind}'")
    target = str(entry.get("Target") or "")
    if kind == "secret":
        if not source:
            raise wrong("field Source must not be empty")
        target = target or f"/run/secrets/{source}"
    if not target:
        raise wrong("field Target must not be empty")
    base = MountPlan(
        type=kind,
        target=_target(target, target),
        source=source,
        readonly=bool(entry.get("ReadOnly")) or kind == "secret",
    )
    if kind == "tmpfs":
        if source:
            raise wrong("field Source must not be specified")
        return replace(base, options=_tmpfs_options(entry.get("TmpfsOptions") or {}, base.readonly))
    if kind == "bind":
        options = entry.get("BindOptions") or {}
        if not source.startswith("/"):
            raise wrong(
                "field Source must not be empty"
                if not source
                else f"invalid mount path: '{source}' mount path must be absolute"
            )
        spread = options.get("Propagation") or "rprivate"
        if spread not in _PROPAGATIONS:
            raise wrong(f"invalid propagation mode: {spread}")
        return replace(
            base,
            source=posixpath.normpath(source),
            propagation=spread,
            recursive=not options.get("NonRecursive"),
            create_source=bool(options.get("CreateMountpoint")),
        )
    if kind == "volume":
        if source:
            check_volume_name(source)
        options = entry.get("VolumeOptions") or {}
        driver = options.get("DriverConfig") or {}
        subpath = str(options.get("Subpath") or "")
        if subpath.startswith("/") or ".." in subpath.split("/"):
            raise wrong("subpath must be a relative path within the volume")
        return replace(
            base,
            mode="z",
            copy=not options.get("NoCopy") and not subpath,
            subpath=subpath,
            driver=str(driver.get("Name") or ""),
            driver_options=tuple(sorted((driver.get("Options") or {}).items())),
            labels=tuple(sorted((options.get("Labels") or {}).items())),
        )
    return base


def _tmpfs(target: str, options: str) -> MountPlan:
    """HostConfig.Tmpfs: Docker's defaults noexec, nosuid, nodev unless said otherwise."""
    words = [word for word in options.split(",") if word]
    defaults = [
        word
        for word, other in (("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"))
        if other not in words
    ]
    allowed = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"}
    flags = {
        *_TMPFS_FLAGS.split(),
        *_PROPAGATIONS,
    }
    for word in words:
        if word not in flags and word.partition("=")[0] not in allowed:
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]')
    return MountPlan(
        type="tmpfs",
        target=_target(target, target),
        readonly="ro" in words,
        options=tuple(dict.fromkeys([*defaults, *words])),
    )


def _tmpfs_options(options: Mapping[str, Any], readonly: bool) -> tuple[str, ...]:
    words = ["nosuid", "nodev", "noexec"]
    if options.get("SizeBytes"):
        words.append(f"size={int(options['SizeBytes'])}")
    if options.get("Mode"):
        words.append(f"mode={int(options['Mode']):o}")
    for pair in options.get("Options") or ():
        word = "=".join(pair)
        if word == "exec":
            words.remove("noexec")
        words.append(word)
    return (*words, "ro") if readonly else tuple(words)


def _target(target: str, text: str) -> str:
    clean = posixpath.normpath(target)
    if not target.startswith("/"):
        raise InvalidArgument(
            f"invalid volume specification: '{text}': "
            f"invalid mount path: '{target}' mount path must be absolute"
        )
    if clean in ("/", "//"):
        raise InvalidArgument(
            f"invalid volume specification: '{text}': invalid specification: destination can't be '/'"
        )
    return clean
