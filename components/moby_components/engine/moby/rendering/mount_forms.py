"""The forms that clients have for one mount, each to a `MountPlan`. Texts of errors are Docker's
(`volume/mounts/linux_parser.go`): clients show them as they are."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from moby_py.errors import InvalidArgument

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_USUAL = "rprivate"
_TMPFS_FLAGS = "rw ro exec noexec suid nosuid dev nodev sync async atime noatime relatime strictatime"
_TMPFS_KEYS = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})
_MODES = ({"rw", "ro"}, {"z", "Z"}, set(PROPAGATIONS), {"nocopy"}, {"consistent", "cached", "delegated"})
"""A mode has at most one word of each."""
_KINDS = ("bind", "volume", "tmpfs", "image", "secret")
_FIELDS = {
    "BindOptions": ("bind",),
    "VolumeOptions": ("volume",),
    "TmpfsOptions": ("tmpfs",),
    "ImageOptions": ("image",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """One destination. `type` bind, volume, tmpfs, image or secret; `source` a host path, a volume's
    name ("": an anonymous one is made), an image or a secret's name; `options` are a tmpfs's."""

    type: str
    target: str
    source: str = ""
    readonly: bool = False
    mode: str = ""
    propagation: str = ""
    usual: bool = False
    """Nobody asked for this propagation."""
    recursive: bool = True
    deep: str = ""
    """Of a read-only bind, what becomes of the mounts below it: "" read-only where the kernel can,
    "must", or "no"."""
    create_source: bool = False
    copy: bool = True
    subpath: str = ""
    image_id: str = ""
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


def of_bind(text: str, driver: str) -> MountPlan:
    """`src:dst[:mode,...]`; without a slash in front `src` is a volume's name; `dst` alone is an
    anonymous volume."""
    parts = text.split(":", 3)
    if len(parts) > 3 or not parts[0] or (len(parts) == 2 and _valid(parts[1])):
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    mode = parts[2] if len(parts) == 3 else ""
    if not _valid(mode):
        raise InvalidArgument(f"invalid mode: {mode}")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    words = mode.split(",") if mode else []
    spread = next((word for word in words if word in PROPAGATIONS), "")
    entry: dict[str, Any] = {
        "Type": "bind" if source.startswith("/") else "volume",
        "Source": source,
        "Target": target,
        "ReadOnly": "ro" in words,
    }
    if entry["Type"] == "volume" and driver:
        entry["VolumeOptions"] = {"DriverConfig": {"Name": driver}}
    if "nocopy" in words:
        entry["VolumeOptions"] = {**entry.get("VolumeOptions", {}), "NoCopy": True}
    if spread:
        entry["BindOptions"] = {"Propagation": spread}
    try:
        found = of_mount(entry)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid volume specification: '{text}': {error.message}") from None
    if found.type == "volume":
        return replace(found, mode=mode or "z")
    return replace(found, mode=mode, create_source=True)


def of_mount(entry: Mapping[str, Any]) -> MountPlan:
    """One of HostConfig.Mounts."""
    kind, source, target = (_text(entry, key) for key in ("Type", "Source", "Target"))
    kind = kind or "bind"

    def wrong(why: str) -> InvalidArgument:
        return InvalidArgument(f'invalid mount config for type "{kind}": {why}')

    if kind == "secret":
        target = target or f"/run/secrets/{source}"
    if not target:
        raise wrong("field Target must not be empty")
    try:
        clean = clean_target(target)
    except InvalidArgument as error:
        raise wrong(error.message) from None
    _check_fields(entry, kind, wrong)
    readonly = bool(entry.get("ReadOnly")) or kind in ("secret", "image")
    base = MountPlan(type=kind, target=clean, source=source, readonly=readonly)
    match kind:
        case "bind":
            return _bind(base, entry.get("BindOptions") or {}, wrong)
        case "volume":
            return _volume(base, entry.get("VolumeOptions") or {}, wrong)
        case "tmpfs":
            if source:
                raise wrong("field Source must not be specified")
            return replace(base, options=_tmpfs_options(entry.get("TmpfsOptions") or {}, readonly, wrong))
        case "image":
            subpath = _text(entry.get("ImageOptions") or {}, "Subpath")
            return replace(base, subpath=_subpath(subpath, wrong), propagation=_USUAL)
    return base


def _check_fields(entry: Mapping[str, Any], kind: str, wrong: Any) -> None:
    """Only what this kind has."""
    if kind not in _KINDS:
        raise wrong("mount type unknown")
    for field, kinds in _FIELDS.items():
        if entry.get(field) is not None and kind not in kinds:
            raise wrong(f"field {field} must not be specified")
        if not isinstance(entry.get(field) or {}, Mapping):
            raise wrong(f"field {field} must be an object")
    if not entry.get("Source") and kind in ("bind", "image", "secret"):
        raise wrong("field Source must not be empty")


def _bind(base: MountPlan, options: Mapping[str, Any], wrong: Any) -> MountPlan:
    spread = _text(options, "Propagation")
    if spread and spread not in PROPAGATIONS:
        raise wrong(f"invalid propagation mode: {spread}")
    if not base.source.startswith("/"):
        raise wrong(f"invalid mount path: '{base.source}' mount path must be absolute")
    flat, loose, strict = (
        bool(options.get(key)) for key in ("NonRecursive", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive")
    )
    for name, given in (("ReadOnlyNonRecursive", loose), ("ReadOnlyForceRecursive", strict)):
        if given and not base.readonly:
            raise wrong(f"mount options conflict: !ReadOnly && BindOptions.{name}")
    if loose and strict:
        raise wrong("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive")
    if strict and (flat or spread not in ("", "private", "rprivate")):
        raise wrong("BindOptions.ReadOnlyForceRecursive needs a recursive bind with propagation rprivate")
    return replace(
        base,
        source=posixpath.normpath(base.source),
        propagation=spread or _USUAL,
        usual=not spread,
        recursive=not flat,
        deep="no" if loose else "must" if strict else "",
        create_source=bool(options.get("CreateMountpoint")),
    )


def _volume(base: MountPlan, options: Mapping[str, Any], wrong: Any) -> MountPlan:
    subpath = _text(options, "Subpath")
    if subpath and not base.source:
        raise wrong("must not set Subpath when using anonymous volumes")
    if base.readonly and not base.source:
        raise wrong("must not set ReadOnly mode when using anonymous volumes")
    driver = options.get("DriverConfig") or {}
    if not isinstance(driver, Mapping):
        raise wrong("field DriverConfig must be an object")
    return replace(
        base,
        mode="z",
        copy=not options.get("NoCopy") and not subpath,
        subpath=_subpath(subpath, wrong),
        driver=_text(driver, "Name"),
        driver_options=_pairs(driver, "Options", wrong),
        labels=_pairs(options, "Labels", wrong),
    )


def of_tmpfs(target: str, options: str) -> MountPlan:
    """HostConfig.Tmpfs: Docker's defaults noexec, nosuid, nodev unless said otherwise."""
    words = [word for word in options.split(",") if word]
    pairs = (("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"))
    defaults = [word for word, other in pairs if other not in words]
    known = {*_TMPFS_FLAGS.split(), *PROPAGATIONS}
    for word in words:
        if word not in known and word.partition("=")[0] not in _TMPFS_KEYS:
            raise InvalidArgument(f'invalid tmpfs option ["{word}"]')
    return MountPlan(
        type="tmpfs",
        target=clean_target(target),
        readonly="ro" in words,
        options=tuple(dict.fromkeys([*defaults, *words])),
    )


def _tmpfs_options(options: Mapping[str, Any], readonly: bool, wrong: Any) -> tuple[str, ...]:
    words = ["nosuid", "nodev", "noexec"]
    for key, form in (("SizeBytes", "size={}"), ("Mode", "mode={:o}")):
        value = options.get(key) or 0
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise wrong(f"field {key} must be a whole number")
        if value:
            words.append(form.format(value))
    for pair in options.get("Options") or ():
        if not isinstance(pair, list | tuple) or not 1 <= len(pair) <= 2:
            raise wrong("invalid option array length")
        if pair[0] not in ("exec", "noexec"):
            raise wrong(f"invalid option: {pair[0]}")
        words = [word for word in words if word not in ("exec", "noexec")] + [pair[0]]
    return (*words, "ro") if readonly else tuple(words)


def clean_target(target: str) -> str:
    """Raises InvalidArgument in Docker's words, which tell no more than the path."""
    clean = posixpath.normpath(target)
    if clean in ("/", "//"):
        raise InvalidArgument("invalid specification: destination can't be '/'")
    if not target.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{target}' mount path must be absolute")
    return clean.replace("//", "/", 1) if clean.startswith("//") else clean


def _valid(mode: str) -> bool:
    words = mode.split(",") if mode else []
    return all(any(word in group for group in _MODES) for word in words) and all(
        sum(word in group for word in words) <= 1 for group in _MODES
    )


def _subpath(text: str, wrong: Any) -> str:
    if text and (text.startswith("/") or posixpath.normpath(text).split("/")[0] == ".."):
        raise wrong("subpath must be a relative path within the volume")
    return posixpath.normpath(text) if text else ""


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(f"invalid mount config - field {key} must be text")
    return value


def _pairs(entry: Mapping[str, Any], key: str, wrong: Any) -> tuple[tuple[str, str], ...]:
    value = entry.get(key) or {}
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for text in value.values()):
        raise wrong(f"field {key} must be an object of texts")
    return tuple(sorted(value.items()))
