"""The rules about the tree, as tests: who may import whom, how long a file may be."""

from __future__ import annotations

import ast
import json
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "assembler/moby_py": {"moby_components"},  # the assembler names no component
    "components/moby_components": {"moby_py.cli"},  # a component never calls the command line
}
CEILING, MEDIAN = 400, 120
SOURCES = sorted((ROOT / "assembler").rglob("*.py")) + sorted((ROOT / "components").rglob("*.py"))
GENERATED = ("_pb2.py", "_pb2_grpc.py")


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_imports_point_one_way() -> None:
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder, banned in FORBIDDEN.items()
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in sorted(imports(path))
        if any(within(name, ban) for ban in banned)
    ]
    assert broken == []


def test_a_component_knows_nothing_of_its_neighbours() -> None:
    """A component imports its own folder and `common`; never another component."""
    base = ROOT / "components/moby_components"
    broken = []
    for path in sorted(base.rglob("*.py")):
        parts = path.relative_to(base).parts
        if len(parts) < 3 and parts[0] != "common":
            continue
        own = "moby_components.common" if parts[0] == "common" else ".".join(("moby_components", *parts[:2]))
        broken += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in sorted(imports(path))
            if within(name, "moby_components")
            and not within(name, own)
            and not within(name, "moby_components.common")
            and name != "moby_components"
        ]
    assert broken == [], "shared code belongs in moby_components/common"


def test_no_init_in_the_source_roots() -> None:
    """`assembler/` and `components/` are source roots, as src/ would be."""
    assert not [
        str(p) for p in (ROOT / "assembler/__init__.py", ROOT / "components/__init__.py") if p.exists()
    ]


def test_no_module_passes_the_ceiling() -> None:
    """Before a file passes 400 lines, split it along a real seam."""
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines())
        for p in SOURCES
        if not p.name.endswith(GENERATED)
    }
    assert {name: count for name, count in lengths.items() if count > CEILING} == {}
    assert statistics.median(count for count in lengths.values() if count > 3) <= MEDIAN


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in SOURCES
        if p.read_text(encoding="utf-8").strip()
        and not p.name.endswith(GENERATED)
        and not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_every_component_folder_is_whole() -> None:
    """A built-in has its options schema beside its code."""
    from moby_components import BUILTINS

    for key, module in BUILTINS.items():
        folder = ROOT / "components" / Path(*module.split("."))
        schema = json.loads((folder / "options.schema.json").read_text(encoding="utf-8"))
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema", key
        assert schema.get("additionalProperties") is False, key
        undescribed = [n for n, s in schema.get("properties", {}).items() if not s.get("description")]
        assert undescribed == [], key


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_unfinished_marks(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [word for word in ("TODO", "FIXME", "XXX", "NotImplementedError") if word in text]


def test_test_modules_have_names_of_their_own() -> None:
    """pytest imports them by base name: two of one name stop the whole run."""
    names = [p.name for p in (ROOT / "tests").rglob("test_*.py") if "third_party" not in p.parts]
    assert sorted({name for name in names if names.count(name) > 1}) == []
