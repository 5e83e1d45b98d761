"""The image's config as defaults under the create body (Docker's `merge`)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from moby_py.errors import InvalidArgument

_NOT_INHERITED = ("OnBuild", "History")


def merge(body: Mapping[str, Any], image_config: Mapping[str, Any]) -> dict[str, Any]:
    """A new body with the image's defaults in it. `image_config` is the whole OCI config.
    Raises InvalidArgument for wrong shapes and when there is no command."""
    merged = deepcopy(dict(body))
    image = image_config.get("config") or {}
    for key in ("Entrypoint", "Cmd"):
        merged[key] = as_list(merged.get(key), key)
    merged["Env"] = as_list(merged.get("Env"), "Env") or []
    merged["Labels"] = {**(image.get("Labels") or {}), **_mapping(merged, "Labels")}
    for key in ("ExposedPorts", "Volumes"):
        union = {**(image.get(key) or {}), **_mapping(merged, key)}
        if union:
            merged[key] = union
    for key in ("User", "WorkingDir", "StopSignal"):
        merged[key] = merged.get(key) or image.get(key) or ""
    _command(merged, image)
    _environment(merged, image)
    _health(merged, image)
    merged["HostConfig"] = dict(_mapping(merged, "HostConfig"))
    return merged


def as_list(value: object, key: str) -> list[str] | None:
    """Docker's strslice: a list, or one string; None stays None."""
    if value is None or isinstance(value, str):
        return None if value is None else [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(value)
    raise InvalidArgument(f"invalid {key} - it must be a list of strings")


def _mapping(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key) or {}
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"invalid {key} - it must be an object")
    return value


def _command(merged: dict[str, Any], image: Mapping[str, Any]) -> None:
    """An entrypoint of the user's drops the image's command; [""] drops the image's entrypoint."""
    if not merged["Entrypoint"]:
        merged["Cmd"] = merged["Cmd"] or as_list(image.get("Cmd"), "Cmd")
        if merged["Entrypoint"] is None:
            merged["Entrypoint"] = as_list(image.get("Entrypoint"), "Entrypoint")
    if merged["Entrypoint"] == [""]:
        merged["Entrypoint"] = None
    if not merged["Entrypoint"] and not merged["Cmd"]:
        raise InvalidArgument("no command specified")


def _environment(merged: dict[str, Any], image: Mapping[str, Any]) -> None:
    own = {entry.partition("=")[0] for entry in merged["Env"]}
    merged["Env"] += [e for e in image.get("Env") or [] if e.partition("=")[0] not in own]


def _health(merged: dict[str, Any], image: Mapping[str, Any]) -> None:
    """Each field of the image's health check that the user left empty."""
    theirs = image.get("Healthcheck")
    if not theirs:
        return
    ours = merged.get("Healthcheck") or {}
    if not isinstance(theirs, Mapping):
        merged["Healthcheck"] = ours or theirs  # the look at its shape names it
        return
    given = {key: value for key, value in ours.items() if value and value != [""]}
    merged["Healthcheck"] = {**theirs, **given}
