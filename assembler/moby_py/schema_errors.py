"""Validation errors in our words: located, short, and without the values of environment variables.

jsonschema's own messages quote the whole value, which may be long and may be secret; so what is said
here is made from the schema and from what the user wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from moby_py.blueprint.model import MAX_PROBLEMS, Problems, Selection, quoted, suggestion
from moby_py.options import Filled
from moby_py.provenance import SourceMap, join

if TYPE_CHECKING:
    from jsonschema import ValidationError

_ARTICLES = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_WORDS = {
    "minimum": "is too small - at least {}",
    "maximum": "is too large - at most {}",
    "exclusiveMinimum": "is too small - more than {}",
    "exclusiveMaximum": "is too large - less than {}",
    "minLength": "is too short - at least {} characters",
    "maxLength": "is too long - at most {} characters",
    "minItems": "has too few entries - at least {}",
    "minProperties": "has too few entries - at least {}",
    "maxItems": "has too many entries - at most {}",
    "maxProperties": "has too many entries - at most {}",
    "uniqueItems": "holds the same entry twice",
    "pattern": "does not match {}",
    "format": "is not written as {}",
    "multipleOf": "is not a multiple of {}",
}
_OF_THE_MAP = {"additionalProperties", "unevaluatedProperties", "required", "propertyNames"}
"""Keywords about a map's keys, whatever their values are."""
_TELLING = {"required", "minProperties", "anyOf", "oneOf", "allOf", "if", "not", "dependentRequired", "$ref"}
"""Keywords that can refuse an empty map."""


def check(
    item: Selection, filled: Filled, schema: Mapping[str, Any], source: SourceMap, problems: Problems
) -> None:
    """Validate one selection's complete options and tell every problem."""
    if not item.options and not _TELLING.intersection(schema):
        return  # nothing was written: jsonschema, 70 ms to import, has nothing to say
    told = _Told(item, filled, source, problems)
    from referencing.exceptions import Unresolvable

    try:
        for error in islice(_errors(schema, filled.options), MAX_PROBLEMS + 1):
            told.error(error)
    except (Unresolvable, RecursionError, re.error) as error:
        use = join(item.path, "use")
        why = f"a $ref leads nowhere: {error.ref}" if isinstance(error, Unresolvable) else str(error)
        message = f"the option schema of {item.kind}/{item.use} cannot be used - {why}"
        problems.add(source.location(use), use, message, "ask who made the component to mend it")


class _Told:
    def __init__(self, item: Selection, filled: Filled, source: SourceMap, problems: Problems) -> None:
        self.item = item
        self.base = join(item.path, "with")
        self.filled = filled
        self.source = source
        self.problems = problems

    def error(self, error: ValidationError) -> None:
        path = join(self.base, *error.absolute_path)
        keyword = error.validator
        if self._broken(path, deep=keyword not in _OF_THE_MAP):
            return
        if keyword in ("additionalProperties", "unevaluatedProperties") and not isinstance(
            error.validator_value, dict
        ):
            self._unknown(error, path)
        elif keyword == "required" and isinstance(error.instance, dict):
            self._missing(error, path)
        elif keyword == "propertyNames":
            self._at(
                join(path, str(error.instance)),
                f"{quoted(error.instance)} is no name for this",
                error,
                key=True,
            )
        else:
            self._at(path, f"{self._told(error, path)} {self._wrong(error, path)}", error)

    def _broken(self, path: str, *, deep: bool) -> bool:
        """True when a problem is told about the value already, or (`deep`) about something in it."""
        if self.source.origin(path).broken:
            return True
        return deep and any(origin.broken for origin in self.source.below(path))

    def _at(
        self, path: str, message: str, error: ValidationError, *, key: bool = False, hint: str | None = None
    ) -> None:
        where = self.source.key_location(path) if key else self.source.location(path)
        schema = error.schema if isinstance(error.schema, dict) else {}
        if self._told_already(path):
            return  # one mistake often breaks two rules
        self.problems.add(where, path, message, hint or _example(schema))

    def _unknown(self, error: ValidationError, path: str) -> None:
        schema = error.schema if isinstance(error.schema, dict) else {}
        known = list(schema.get("properties", {}))
        instance: Any = error.instance
        for key in sorted(set(instance) - set(known)):
            if self.problems.full:
                return
            otherwise = f"known are {', '.join(known)}" if known else "it takes no options"
            message = f"unknown option {quoted(key)} of {self.item.kind}/{self.item.use}"
            self.problems.add(
                self.source.key_location(join(path, key)),
                join(path, key),
                message,
                suggestion(key, known, otherwise),
            )

    def _missing(self, error: ValidationError, path: str) -> None:
        properties = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        wanted: Any = error.validator_value
        instance: Any = error.instance
        for key in wanted:
            if key not in instance and not self._told_already(join(path, key)):
                what = properties.get(key, {})
                text = what.get("description", "") if isinstance(what, dict) else ""
                self.problems.add(
                    self.source.location(path),
                    join(path, key),
                    f"missing - {self.item.kind}/{self.item.use} needs it"
                    + (f": {_sentence(text)}" if text else ""),
                    f"with: {{{key}: ...}}" if path == self.base else None,
                )

    def _told_already(self, path: str) -> bool:
        return any(problem.path == path for problem in self.problems)

    def _told(self, error: ValidationError, path: str) -> str:
        """The value as a message may quote it."""
        value = error.instance
        if isinstance(value, dict):
            return "a map"
        if isinstance(value, list):
            return "a list"
        shown = self.source.shown(path)
        return quoted(value if shown is None else shown)

    def _wrong(self, error: ValidationError, path: str) -> str:
        value: Any = error.validator_value
        keyword = str(error.validator)
        if keyword == "type":
            types = [value] if isinstance(value, str) else value
            return f"is not {_either(_ARTICLES.get(name, name) for name in types)}"
        if keyword == "enum":
            return f"is not {_either(_literal(choice) for choice in value)}"
        if keyword == "const":
            return f"is not {_literal(value)}"
        if keyword == "minLength" and not error.instance:
            return "is empty"
        if keyword in ("anyOf", "oneOf"):
            return self._branches(error, path)
        words = _WORDS.get(keyword, f"does not keep the schema's rule {keyword}")
        return words.format(value if isinstance(value, str) else _literal(value))

    def _branches(self, error: ValidationError, path: str) -> str:
        """What the branches of an anyOf want, where each fails at this very value."""
        wanted = [
            self._wrong(inner, path).removeprefix("is not ")
            for inner in error.context or ()
            if not inner.path and inner.validator in ("type", "const", "enum")
        ]
        if wanted and len(wanted) == len(error.context or ()):
            return f"is not {_either(wanted)}"
        if len(error.context or ()) == 0:
            return "fits more than one form - it must fit one"
        return "fits none of the forms that are allowed"


def _literal(value: Any) -> str:
    if value is None or isinstance(value, str | bool | int | float):
        return quoted(value)
    return json.dumps(value)


def _either(words: Iterable[str]) -> str:
    all_ = list(dict.fromkeys(words))
    return all_[0] if len(all_) == 1 else f"{', '.join(all_[:-1])} or {all_[-1]}"


def _sentence(text: str) -> str:
    """The first sentence of a description, to stand within a message."""
    first = text.split(". ", maxsplit=1)[0].rstrip(".")
    return first[:1].lower() + first[1:] if first[1:2].islower() else first


def _example(schema: Mapping[str, Any]) -> str | None:
    """The hint that a schema holds: an example of the value, else what the option is."""
    examples, text = schema.get("examples"), schema.get("description")
    if isinstance(examples, list) and examples:
        return f"for example {_literal(examples[0])}"
    return text.split(". ", maxsplit=1)[0] if isinstance(text, str) and text else None


def _errors(schema: Mapping[str, Any], options: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Draft 2020-12 with formats; `uniqueItems` in linear time; no reference leaves the file."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    checker: Any = extend(Draft202012Validator, {"uniqueItems": _unique})  # type: ignore[no-untyped-call]
    validator = checker(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    yield from validator.iter_errors(options)


def _unique(_validator: Any, wanted: bool, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list) and _repeats(instance):
        yield ValidationError("repeated")


def _repeats(items: Sequence[Any]) -> bool:
    texts = [json.dumps(item, sort_keys=True) for item in items]
    return len(set(texts)) != len(texts)
