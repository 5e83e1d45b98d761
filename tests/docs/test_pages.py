"""Documentation as tests: what can drift is held against the code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import moby_components
from docs import generate
from moby_py import hookspecs
from moby_py.cli.main import ASSEMBLER_COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
HOOKS = [name for name, f in vars(hookspecs).items() if inspect.isfunction(f) and hasattr(f, "moby_py_spec")]


@pytest.mark.parametrize("path", sorted(generate.pages(), key=str), ids=lambda p: p.name)
def test_generated_pages_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.pages()[path], "out of date: run `make docs`"


def test_every_hook_is_documented_with_its_arguments() -> None:
    page = (ROOT / "docs/write-a-component.md").read_text(encoding="utf-8")
    assert HOOKS
    for name in HOOKS:
        arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
        assert f"`{name}({arguments})`" in page


def test_every_builtin_is_in_the_readme() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [key for key in moby_components.BUILTINS if f"`{key.split('.')[1]}`" not in page] == []


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_yaml_blocks_are_blueprints_that_validate(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(
        re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        command = [sys.executable, "-m", "moby_py", "explain", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, block + done.stderr


def test_commands_in_the_pages_exist() -> None:
    from moby_py.cli.docker import COMMANDS

    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for word in re.findall(r"moby-py ([a-z]+)", text):
            assert word in ASSEMBLER_COMMANDS or word in {"turns", "runs"}, (page.name, word)
        for word in re.findall(r"out/bin/\w+ ([a-z-]+)", text):
            assert word in COMMANDS, (page.name, word)


@pytest.mark.parametrize("path", sorted((ROOT / "blueprints").glob("*.yaml")), ids=lambda p: p.name)
def test_every_blueprint_explains(path: Path) -> None:
    command = [sys.executable, "-m", "moby_py", "explain", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
