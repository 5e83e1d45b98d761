"""`--change` of commit and import: Dockerfile instructions on an image config."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from moby_py.errors import InvalidArgument


def apply(config: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A new config with each change made, in order. Raises InvalidArgument naming the change."""
    result = dict(config)
    for text in changes:
        for line in text.splitlines():
            if line.strip():
                _one(result, line.strip())
    return result


def _one(config: dict[str, Any], line: str) -> None:
    word, _, rest = line.partition(" ")
    word, rest = word.upper(), rest.strip()
    match word:
        case "CMD" | "ENTRYPOINT":
            config["Cmd" if word == "CMD" else "Entrypoint"] = _command(rest)
            if word == "ENTRYPOINT":
                config["Cmd"] = None
        case "ENV":
            env = dict(entry.partition("=")[::2] for entry in config.get("Env") or ())
            env.update(_pairs(rest, line))
            config["Env"] = [f"{key}={value}" for key, value in env.items()]
        case "LABEL":
            config["Labels"] = {**(config.get("Labels") or {}), **_pairs(rest, line)}
        case "EXPOSE":
            ports: dict[str, Any] = {port if "/" in port else f"{port}/tcp": {} for port in rest.split()}
            config["ExposedPorts"] = {**(config.get("ExposedPorts") or {}), **ports}
        case "VOLUME":
            paths = json.loads(rest) if rest.startswith("[") else rest.split()
            config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}
        case "USER":
            config["User"] = rest
        case "WORKDIR":
            config["WorkingDir"] = rest
        case "STOPSIGNAL":
            config["StopSignal"] = rest
        case "ONBUILD":
            config["OnBuild"] = [*(config.get("OnBuild") or ()), rest]
        case _:
            raise InvalidArgument(f"{word} is not a valid change command")


def _command(text: str) -> list[str]:
    """JSON form, else a shell's command line."""
    if text.startswith("["):
        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and all(isinstance(item, str) for item in words):
            return words
    return ["/bin/sh", "-c", text]


def _pairs(text: str, line: str) -> dict[str, str]:
    """KEY=value KEY2="v 2", or the old KEY value. Raises InvalidArgument."""
    key, space, value = text.partition(" ")
    if "=" not in key and space:
        return {key: value.strip()}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid change {line!r} - {error}") from None
    if not words or not all("=" in word for word in words):
        raise InvalidArgument(f"invalid change {line!r} - KEY=VALUE is missing its =")
    return dict(word.partition("=")[::2] for word in words)
