"""`ps`: which containers, by Docker's filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_components.engine.moby.images import Images
from moby_components.engine.moby.rendering.network import exposed
from moby_py.errors import InvalidArgument, NotFound

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
KNOWN = frozenset(
    {
        *("ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label"),
        *("name", "network", "publish", "since", "status", "volume"),
    }
)
Filters = Mapping[str, Sequence[str]]


async def select(
    core: Core, images: Images, *, all: bool, limit: int, filters: Filters | None
) -> list[Entry]:
    """Newest first. `limit` and the filters status and exited look at all containers."""
    wanted = {key: list(values) for key, values in (filters or {}).items() if values}
    for key in wanted:
        if key not in KNOWN:
            raise InvalidArgument(f"invalid filter '{key}'")
    _check_values(wanted)
    newest = sorted(core.entries.values(), key=lambda entry: entry.record.created_ns, reverse=True)
    everything = all or limit > 0 or "status" in wanted or "exited" in wanted
    ancestors = await _ancestors(core, images, wanted.pop("ancestor", []))
    before = [core.get(ref).record.created_ns for ref in wanted.pop("before", [])]
    since = [core.get(ref).record.created_ns for ref in wanted.pop("since", [])]
    found = [
        entry
        for entry in newest
        if (everything or entry.record.active)
        and (ancestors is None or entry.record.image_id in ancestors)
        and all_of(entry.record.created_ns < at for at in before)
        and all_of(entry.record.created_ns > at for at in since)
        and all_of(_among(key)(_one(entry, key, value) for value in values) for key, values in wanted.items())
    ]
    return found[:limit] if limit > 0 else found


all_of = all
"""The built-in, under a name that no parameter hides."""


def _among(key: str) -> Callable[[Iterable[bool]], bool]:
    """Any of a key's values, but every label: Compose tells its services apart by several."""
    return all_of if key == "label" else any


def _check_values(wanted: Mapping[str, Sequence[str]]) -> None:
    for status in wanted.get("status", ()):
        if status not in STATUSES:
            raise InvalidArgument(f"invalid filter 'status={status}'")
    for code in wanted.get("exited", ()):
        if not code.lstrip("-").isdecimal():
            raise InvalidArgument(f"invalid filter 'exited={code}'")


async def _ancestors(core: Core, images: Images, refs: Sequence[str]) -> set[str] | None:
    """Ids of the images named and of those made on top of them; None without that filter."""
    if not refs:
        return None
    bases = []
    for ref in refs:
        try:
            bases.append(await images.find(ref))
        except NotFound:
            continue
    found = set()
    for image in await core.store.list() if bases else ():
        if any(image.id == b.id or (b.layers and image.layers[: len(b.layers)] == b.layers) for b in bases):
            found.add(image.id)
    return found | {base.id for base in bases}


def _one(entry: Entry, key: str, value: str) -> bool:
    record = entry.record
    if key == "id":
        return record.id.startswith(value)
    if key == "name":
        return _matches_name(record.name, value)
    if key == "label":
        name, has_value, text = value.partition("=")
        return name in record.labels and (not has_value or record.labels[name] == text)
    if key == "status":
        return record.status == value
    if key == "exited":
        return record.status in ("exited", "dead") and record.exit_code == int(value)
    if key == "volume":
        return any(value in (m.get("Name"), m["Destination"], m["Source"]) for m in record.mounts)
    if key == "network":
        return _on_network(record.network, value)
    if key in ("publish", "expose"):
        ports = record.network.get("Ports") if key == "publish" else record.intent.get("ExposedPorts")
        return _has_port(ports, value, host=key == "publish")
    if key == "health":
        return value == str((record.health or {}).get("status", "none"))
    return value in ("false", "default")  # is-task, isolation


def _matches_name(name: str, pattern: str) -> bool:
    """Docker takes a regular expression and also matches with the slash in front."""
    import re

    try:
        compiled = re.compile(pattern.removeprefix("/"))
    except re.error as error:
        raise InvalidArgument(f"invalid filter 'name={pattern}' - {error}") from error
    return bool(compiled.search(name) or re.search(pattern, f"/{name}"))


def _on_network(network: Mapping[str, Any], value: str) -> bool:
    networks: Mapping[str, Any] = network.get("Networks") or {}
    return value in networks or any(
        len(value) >= 4 and n["NetworkID"].startswith(value) for n in networks.values()
    )


def _has_port(ports: Mapping[str, Any] | None, value: str, *, host: bool) -> bool:
    wanted = {f"{number}/{protocol}" for number, protocol in exposed(value)}
    if wanted & set(ports or {}):
        return True
    if not host:
        return False
    return any(
        f"{binding.get('HostPort')}/{key.partition('/')[2]}" in wanted
        for key, bindings in (ports or {}).items()
        for binding in bindings or ()
    )
