"""The commands build, check, graph, init, components as a user meets them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

TOYS = str(Path(__file__).parent / "toys.py")
BLUEPRINT = """\
blueprint: 1
name: shop
components: {runtime: toy, image_store: toy, network: toy, secrets: toy, engine: toy, api: toy}
"""
Moby = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def moby(tmp_path: Path) -> Moby:
    """`moby(ARGS...)` in tmp_path, where shop.yaml and a working toy-tool are."""
    (tmp_path / "shop.yaml").write_text(BLUEPRINT)
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 1.2.3\n")
    tool.chmod(0o755)

    def moby(*args: str, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "moby_py", *args],
            cwd=tmp_path,
            env={**os.environ, "TOY_TOOL": str(tool), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done

    return moby


def test_build_says_what_where_and_what_next(moby: Moby) -> None:
    done = moby("build", "shop.yaml", "--plugin", TOYS)
    assert done.stdout == (
        "built shop in out\n"
        "  image_store toy · runtime toy · network toy · volume local · secrets toy · engine toy · api toy\n"
        "next: moby-py up -d out\n"
    )
    assert done.stderr == (
        "warning: runtime/toy: toy-extra is not installed\n  hint: install toy-extra or put it on PATH\n"
    )


def test_build_to_a_tar_and_as_json(moby: Moby, tmp_path: Path) -> None:
    done = moby("build", "shop.yaml", "--plugin", TOYS, "-o", "shop.tar")
    assert done.stdout.endswith("next: tar -xf shop.tar && moby-py up -d shop\n")
    done = moby("build", "shop.yaml", "--plugin", TOYS, "--json")
    assert json.loads(done.stdout) == {
        "name": "shop",
        "out": "out",
        "components": {
            **{kind: ["toy"] for kind in ("image_store", "runtime", "network", "secrets", "engine", "api")},
            "volume": ["local"],
        },
        "warnings": ["toy-extra is not installed"],
    }
    assert done.stderr == ""


def test_seven_mistakes_are_seven_located_problems_and_no_directory(moby: Moby, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        "blueprint: 1\n"
        "name: Not A Name\n"
        "components:\n"
        "  runtime: {use: toy, with: {size: big, shape: round}}\n"
        "  image_store: toyy\n"
        "  netwrok: toy\n"
        "  engine: toy\n"
        "  api: toy\n"
        "images: alpine\n"
        "colour: red\n"
    )
    done = moby("build", "shop.yaml", "--plugin", TOYS, status=2)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: shop.yaml:")]
    assert len(errors) >= 7, done.stderr
    assert len({line.split(": ")[1] for line in errors}) >= 7
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    told = json.loads(moby("build", "shop.yaml", "--plugin", TOYS, "--json", status=2).stdout)
    assert len(told["problems"]) == len(errors)
    assert {"file", "line", "column", "path", "message", "hint"} == set(told["problems"][0])
    again = json.loads(moby("check", "shop.yaml", "--plugin", TOYS, "--json", status=2).stdout)
    assert again == told


def test_check_without_a_blueprint_shows_the_host(moby: Moby) -> None:
    lines = moby("check").stdout.splitlines()
    assert {line.split()[0] for line in lines if not line.startswith(" ")} <= {"ok", "warn"}
    names = {f["name"] for f in json.loads(moby("check", "--json").stdout)["findings"]}
    assert {"root", "overlayfs", "user-namespaces", "seccomp", "cgroup", "cgroup-single-owner"} <= names


def test_check_with_a_blueprint_ends_with_3_when_something_is_missing(moby: Moby) -> None:
    done = moby("check", "shop.yaml", "--plugin", TOYS)
    assert "ok     runtime/toy       toy-tool 1.2.3 at " in done.stdout
    assert "shop can be built and run here" in done.stdout
    done = moby("check", "shop.yaml", "--plugin", TOYS, status=3, TOY_TOOL="/no/tool")
    assert "missing   runtime/toy       there is no program /no/tool" in done.stdout
    assert "          hint: name an existing program instead of /no/tool\n" in done.stdout
    assert done.stdout.endswith("this host lacks 1 of what shop needs\n")
    report = json.loads(
        moby("check", "shop.yaml", "--plugin", TOYS, "--json", status=3, TOY_TOOL="/no/tool").stdout
    )
    assert [f["name"] for f in report["findings"] if f["status"] == "missing"] == ["toy-tool"]


def test_options_without_a_blueprint_are_a_usage_error(moby: Moby) -> None:
    done = moby("check", "--set", "a=b", status=2)
    assert done.stderr == (
        "error: --set, --var and --plugin need a BLUEPRINT\n"
        "hint: moby-py check [OPTIONS] [BLUEPRINT]    (see moby-py check --help)\n"
    )


def test_graph_draws_mermaid_and_svg(moby: Moby, tmp_path: Path) -> None:
    text = moby("graph", "shop.yaml", "--plugin", TOYS).stdout
    assert text.splitlines()[1] == "flowchart TD"
    assert "    engine_toy --> runtime_toy\n" in text
    assert "    runtime_toy -. toy-mounts .-> image_store_toy\n" in text
    assert '        program_toy_tool_1_2_3[["toy-tool 1.2.3"]]\n' in text
    moby("graph", "shop.yaml", "--plugin", TOYS, "--format", "svg", "-o", "g.svg")
    root = ElementTree.parse(tmp_path / "g.svg").getroot()
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"shop", "engine", "image store", "toy-mounts", "toy-tool 1.2.3", "this host"} <= set(words)
    moby("build", "shop.yaml", "--plugin", TOYS)
    assert (tmp_path / "out/graph.mmd").read_text() == text
    assert (tmp_path / "out/graph.svg").read_text() == (tmp_path / "g.svg").read_text()


def test_a_picture_of_a_name_with_markup_in_it_is_still_xml() -> None:
    from moby_py.graph import Node, Picture
    from moby_py.graph_svg import svg

    node = Node("runtime/<b>", "runtime", '<b>&"', "<b>", 2, False, ("<i> 1",))
    ElementTree.fromstring(svg(Picture("a<b", (node,), ())))


def test_init_writes_a_blueprint_once(moby: Moby, tmp_path: Path) -> None:
    done = moby("init", "--name", "corner-shop", "new.yaml")
    assert done.stdout == "wrote new.yaml\nnext: moby-py build new.yaml\n"
    text = (tmp_path / "new.yaml").read_text()
    assert "name: corner-shop\n" in text
    assert "  runtime: bubblewrap " in text
    done = moby("init", "new.yaml", status=1)
    assert done.stderr == (
        "error: new.yaml is there already - init overwrites nothing\nhint: moby-py init OTHER.yaml\n"
    )
    assert (tmp_path / "new.yaml").read_text() == text
    moby("init", "--runtime", "crun", "crun.yaml")
    assert "  runtime: crun " in (tmp_path / "crun.yaml").read_text()
    done = moby("init", "--runtime", "rkt", "rkt.yaml", status=2)
    assert "'rkt' is not one of bubblewrap, runc" in done.stderr


@pytest.mark.parametrize("runtime", ["bubblewrap", "runc"])
def test_what_init_writes_is_a_valid_blueprint(moby: Moby, runtime: str) -> None:
    moby("init", "--runtime", runtime, "new.yaml")
    report = json.loads(_any_status(moby, "check", "new.yaml", "--json"))
    assert report["problems"] == []


def _any_status(moby: Moby, *args: str) -> str:
    try:
        return moby(*args).stdout
    except AssertionError:
        return moby(*args, status=3).stdout


def test_components_of_an_unknown_kind(moby: Moby) -> None:
    done = moby("components", "runtimes", status=2)
    assert "no such kind 'runtimes' - the kinds are runtime, image_store, network" in done.stderr


def test_the_version_costs_no_heavy_import(moby: Moby) -> None:
    code = (
        "import sys\nfrom moby_py.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "heavy = ('yaml', 'jsonschema', 'rich', 'aiohttp', 'asyncio', 'pluggy', 'importlib.metadata')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["[]"]


def test_a_build_is_quick(moby: Moby, tmp_path: Path) -> None:
    """Half a second of wall time is wanted on an idle machine. Counted here in processor time, with
    warm byte code, so that a busy machine does not fail it."""
    warm = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "pyc")}
    took = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        moby("build", "shop.yaml", "--plugin", TOYS, **warm)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(took) < 0.75
