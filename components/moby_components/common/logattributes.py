"""What a log line carries beside its text: the options labels, env and tag of Docker's log drivers.

The engine sends them to the journal; an API shows them with `logs --details`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from moby_py.errors import InvalidArgument

_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_FIELDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "DaemonName")


@dataclass(frozen=True, slots=True)
class Logged:
    """Whose lines they are."""

    id: str
    name: str
    image: str
    image_id: str
    command: str
    labels: Mapping[str, str]
    env: Sequence[str]

    @classmethod
    def of(cls, id: str, name: str, image: str, image_id: str, intent: Mapping[str, Any]) -> Logged:
        words = [*(intent.get("Entrypoint") or ()), *(intent.get("Cmd") or ())]
        labels, env = intent.get("Labels") or {}, intent.get("Env") or ()
        return cls(id, name, image, image_id, " ".join(words), labels, env)


def check_options(options: Mapping[str, str]) -> None:
    """Raises InvalidArgument for a tag or an expression that cannot be read."""
    nobody = Logged("", "", "", "", "", {}, ())
    attributes(options, nobody)
    tag(options.get("tag", ""), nobody)


def tag(template: str, who: Logged) -> str:
    """`{{.ID}}` and its like; raises InvalidArgument for what else may stand in a template of Go's."""
    values = {
        "ID": who.id[:12],
        "FullID": who.id,
        "Name": who.name,
        "ImageID": who.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": who.image_id,
        "ImageName": who.image,
        "Command": who.command,
        "DaemonName": "moby-py",
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in _FIELDS:
            raise InvalidArgument(
                f"invalid log opt 'tag' - there is no field .{match[1]}",
                hint=f"it has {', '.join('.' + name for name in _FIELDS)}",
            )
        return values[match[1]]

    if "{{" in _FIELD.sub("", template):
        raise InvalidArgument(
            f"invalid log opt 'tag' - {template!r} is no template that can be filled in",
            hint=f"it may hold {', '.join('{{.' + name + '}}' for name in _FIELDS)}",
        )
    return _FIELD.sub(value, template)


def attributes(options: Mapping[str, str], who: Logged) -> dict[str, str]:
    """Labels and variables that `labels`, `labels-regex`, `env` and `env-regex` choose.
    Raises InvalidArgument for an expression that cannot be read."""
    env = dict(entry.partition("=")[::2] for entry in who.env)
    found: dict[str, str] = {}
    for source, key in ((who.labels, "labels"), (env, "env")):
        for name in options.get(key, "").split(","):
            if name in source:
                found[name] = source[name]
        wanted = options.get(f"{key}-regex")
        if wanted:
            try:
                expression = re.compile(wanted)
            except re.error as error:
                raise InvalidArgument(f"invalid log opt '{key}-regex' - {error}") from error
            found.update((name, value) for name, value in source.items() if expression.search(name))
    return found


def details(options: Mapping[str, str], who: Logged) -> str:
    """What `logs --details` puts before each line: key=value pairs, sorted, as in a URL's query."""
    found = attributes(options, who)
    if options.get("tag"):
        found["tag"] = tag(options["tag"], who)
    return ",".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(found.items()))
