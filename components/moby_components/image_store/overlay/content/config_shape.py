"""The JSON types of an image's `config` (OCI image-spec, config.md): what comes in here goes out
again by `docker images` and into containers, where one wrong type makes every client fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def wrong_field(config: Mapping[str, Any]) -> str | None:
    """The name of the first field of a wrong type; None where all are right, absent or null."""
    for name in ("User", "WorkingDir", "StopSignal"):
        if not isinstance(config.get(name) or "", str):
            return name
    for name in ("Env", "Cmd", "Entrypoint", "Shell", "OnBuild"):
        value = config.get(name) or []
        if name in ("Cmd", "Entrypoint") and isinstance(value, str):
            continue  # as Docker takes it
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            return name
    for name in ("Volumes", "ExposedPorts", "Labels"):
        if not isinstance(config.get(name) or {}, dict):
            return name
    if not all(isinstance(text, str) for text in (config.get("Labels") or {}).values()):
        return "Labels"
    return None
