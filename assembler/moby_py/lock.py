"""platform.lock: what a platform was built from, exactly, and whether that is still here.

    {"lock": 1, "python": {...},
     "components":    [{"kind", "id", "use", "distribution", "version", "module", "sha256"}],
     "binaries":      [{"kind", "id", "name", "path", "version", "sha256"}],
     "distributions": [{"name", "version"}]}

A component's digest covers all files of its module's folder, a binary's its own bytes.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby_py import distributions
from moby_py.binaries import digest_of, version_of
from moby_py.errors import MobyError, PluginError
from moby_py.locate import module_digest, module_file
from moby_py.needs import Binary
from moby_py.registry import DISTRIBUTION, Registry

if TYPE_CHECKING:
    from moby_py.host import HostReport
    from moby_py.wiring import Wiring

Lock = Mapping[str, Any]


def make(wiring: Wiring, registry: Registry, host: HostReport) -> Lock:
    """The lock of a platform about to be built."""
    selected = [(p.kind, p.id, p.use) for kind in wiring.kinds for p in wiring.of(kind)]
    components = [_component(registry, *selection) for selection in selected]
    order = {(kind, id): rank for rank, (kind, id, _) in enumerate(selected)}
    found = sorted(host.binaries, key=lambda b: (order[b.kind, b.id], b.name))
    names = dict.fromkeys([DISTRIBUTION, *(c["distribution"] for c in components if c["version"])])
    return {
        "lock": 1,
        "python": _python(),
        "components": components,
        "binaries": [asdict(binary) for binary in found],
        "distributions": [
            {"name": name, "version": version} for name, version in distributions.closure(names).items()
        ],
    }


def dumps(lock: Lock) -> bytes:
    return (json.dumps(lock, indent=2, ensure_ascii=False) + "\n").encode()


def loads(data: bytes, where: str) -> Lock:
    """Raises MobyError when the text is not a lock of version 1."""
    try:
        lock = json.loads(data)
        good = lock["lock"] == 1 and isinstance(lock["components"], list)
    except (ValueError, KeyError, TypeError) as error:
        raise MobyError(f"the lock of {where} is damaged - {error}", hint="build without --locked") from error
    if not good:
        raise MobyError(f"the lock of {where} is of another version", hint="build without --locked")
    return lock if isinstance(lock, dict) else {}


def compare(locked: Lock, found: Lock, where: str) -> None:
    """Raises MobyError naming every part that differs, with both versions or digests."""
    differences = list(_differences(locked, found))
    if differences:
        count = f"{len(differences)} part{'s' if len(differences) > 1 else ''}"
        raise MobyError(
            f"{count} differ{'' if len(differences) > 1 else 's'} from the lock of {where} - "
            + "; ".join(differences),
            hint="install what is locked, or build without --locked to accept what is here",
        )


def verify(out: str | Path) -> None:
    """Compare a built platform with this host as it is now (`up --locked`). Imports no component.

    Raises MobyError as `compare` does, or when OUT is no platform.
    """
    from moby_py.platform import load

    built = load(out)
    locked = loads((built.directory / "platform.lock").read_bytes(), str(out))
    registry = Registry(plugin_files=built.plugins)
    components = []
    for c in locked["components"]:
        try:
            components.append(_component(registry, c["kind"], c["id"], c["use"]))
        except PluginError:
            continue  # reported as gone
    binaries = [_binary_now(b) for b in locked["binaries"]]
    names = [DISTRIBUTION, *(c["distribution"] for c in locked["components"] if c["version"])]
    versions = distributions.closure(dict.fromkeys(names))
    found = {
        "lock": 1,
        "python": _python(),
        "components": components,
        "binaries": [b for b in binaries if b],
        "distributions": [{"name": name, "version": version} for name, version in versions.items()],
    }
    compare(locked, found, str(out))


def _component(registry: Registry, kind: str, id: str, use: str) -> dict[str, str]:
    entry = registry.entry(kind, use)
    loaded = sys.modules.get(entry.module)
    origin = Path(loaded.__file__) if loaded and loaded.__file__ else module_file(entry.module)
    return {
        "kind": kind,
        "id": id,
        "use": use,
        "distribution": entry.distribution,
        "version": entry.version,
        "module": entry.module,
        "sha256": module_digest(origin) if origin else "",
    }


def _binary_now(locked: Mapping[str, str]) -> dict[str, str] | None:
    path = locked["path"]
    try:
        version = version_of(path, Binary(locked["name"]).version_args)
        return {**locked, "version": version, "sha256": digest_of(path)}
    except OSError:
        return None


def _python() -> dict[str, str]:
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "path": sys.executable,
    }


def _differences(locked: Lock, found: Lock) -> Iterator[str]:
    for field in ("implementation", "version"):
        if locked["python"].get(field) != found["python"][field]:
            yield f"Python is {found['python'][field]}, locked is {locked['python'].get(field)}"
    yield from _differing_binaries(locked, found)
    now = {(c["kind"], c["id"]): c for c in found["components"]}
    for old in locked["components"]:
        new = now.pop((old["kind"], old["id"]), None)
        part = f"{old['kind']}/{old['id']}"
        if new is None:
            yield f"{part}: {old['use']} of {old['distribution']} {old['version']} is gone".rstrip()
        elif (old["use"], old["distribution"]) != (new["use"], new["distribution"]):
            yield (
                f"{part}: it is {new['use']} of {new['distribution']}, "
                f"locked is {old['use']} of {old['distribution']}"
            )
        elif old["sha256"] != new["sha256"]:
            yield f"{part}: {_changed(new['use'] + ' of ' + new['distribution'], old, new)}"
    for new in now.values():
        yield f"{new['kind']}/{new['id']}: {new['use']} is not in the lock"
    versions = {d["name"]: d["version"] for d in found["distributions"]}
    for old in locked["distributions"]:
        version = versions.get(old["name"])
        if version != old["version"]:
            yield f"package {old['name']} is {version or 'gone'}, locked is {old['version']}"


def _differing_binaries(locked: Lock, found: Lock) -> Iterator[str]:
    now = {(b["kind"], b["id"], b["name"]): b for b in found["binaries"]}
    for old in locked["binaries"]:
        new = now.pop((old["kind"], old["id"], old["name"]), None)
        part = f"{old['kind']}/{old['id']}"
        if new is None:
            yield f"{part}: {old['path']} is gone, locked is {old['version'] or old['sha256'][:12]}"
        elif old["sha256"] != new["sha256"]:
            yield f"{part}: {_changed(new['path'], old, new)}"
        elif old["path"] != new["path"]:
            yield f"{part}: {old['name']} is at {new['path']}, locked is {old['path']}"
    for new in now.values():
        yield f"{new['kind']}/{new['id']}: {new['path']} is not in the lock"


def _changed(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    return (
        f"{what} is {new['version']} (sha256 {new['sha256'][:12]}), "
        f"locked is {old['version']} (sha256 {old['sha256'][:12]})"
    )
