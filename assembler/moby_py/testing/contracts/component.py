"""Level 0: what every component declares, checked without starting anything."""

from __future__ import annotations

import inspect
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from moby_py.component import Component
from moby_py.kinds import KINDS

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def options_schema(cls: type[Component]) -> dict[str, Any]:
    """The schema file beside the module that defines `cls`."""
    data: dict[str, Any] = json.loads((Path(inspect.getfile(cls)).parent / cls.schema).read_text())
    return data


def with_defaults(cls: type[Component], options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as the assembler hands them over: top-level defaults filled in."""
    schema = options_schema(cls)
    defaults = {k: v["default"] for k, v in schema.get("properties", {}).items() if "default" in v}
    return {**defaults, **options}


class ComponentContract:
    """Subclass it through a kind's contract and set `component_class`."""

    component_class: ClassVar[type[Component]]
    good_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    bad_options: ClassVar[Sequence[tuple[Mapping[str, Any], str]]] = ()

    @pytest.fixture
    def binaries(self) -> dict[str, Path]:
        """Of the class's declared needs, what is on PATH."""
        found = {}
        for need in self.component_class.needs:
            path = shutil.which(getattr(need, "name", ""), path=os.environ["PATH"] + ":/usr/sbin:/sbin")
            if path:
                found[getattr(need, "name", "")] = Path(path)
        return found

    def _errors(self, options: Mapping[str, Any]) -> list[str]:
        from jsonschema import Draft202012Validator

        validator = Draft202012Validator(options_schema(self.component_class))
        return [error.message for error in validator.iter_errors(dict(options))]

    def test_schema_is_valid_json_schema(self) -> None:
        from jsonschema import Draft202012Validator

        schema = options_schema(self.component_class)
        assert schema.get("$schema") == DRAFT
        Draft202012Validator.check_schema(schema)

    def test_schema_refuses_unknown_keys(self) -> None:
        assert self._errors({"surely-no-such-option": 1}), "set additionalProperties to false"

    def test_every_option_is_described(self) -> None:
        properties = options_schema(self.component_class).get("properties", {})
        assert [name for name, schema in properties.items() if not schema.get("description")] == []

    def test_it_works_with_no_options_or_says_which_it_requires(self) -> None:
        required = options_schema(self.component_class).get("required", [])
        assert bool(self._errors({})) == bool(required)

    def test_every_default_satisfies_its_own_schema(self) -> None:
        filled = with_defaults(self.component_class, {})
        required = set(options_schema(self.component_class).get("required", [])) - set(filled)
        assert [e for e in self._errors(filled) if not any(f"'{name}'" in e for name in required)] == []

    def test_good_options_pass(self) -> None:
        assert {str(o): self._errors(o) for o in self.good_options if self._errors(o)} == {}

    def test_bad_options_fail_with_the_expected_message(self) -> None:
        for options, message in self.bad_options:
            assert any(message in error for error in self._errors(options)), (options, self._errors(options))

    def test_it_names_itself(self) -> None:
        cls = self.component_class
        assert cls.kind
        assert cls.name
        assert cls.summary, "one line for `moby-py components`"

    def test_every_method_of_the_kind_is_written(self) -> None:
        base = KINDS.get(self.component_class.kind, Component)
        assert issubclass(self.component_class, base)
        assert sorted(getattr(self.component_class, "__abstractmethods__", ())) == []
