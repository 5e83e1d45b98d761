"""`moby-py explain`: values and where they come from, through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

BASE = """\
blueprint: 1
name: base
components:
  runtime: bubblewrap
  image_store: overlay
  network: none
"""
SHOP = """\
blueprint: 1
name: shop
extends: base.yaml
vars: {store: auto, key: "${env:KEYS}/id.txt"}
components:
  runtime: [runc, {use: crun, as: fast}]
  image_store: {use: overlay, with: {mode: "${store}"}}
  secrets: {use: age, with: {identity: "${key}"}}
images: [docker.io/library/alpine:3]
"""
KEYS = "/very/secret/place"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "shop.yaml").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KEYS": KEYS}
    argv = [sys.executable, "-m", "moby_py", "explain", *args]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, env=env)


def origins(*args: str) -> dict[str, Any]:
    done = run("--json", *args)
    assert done.returncode == 0, done.stderr
    return {item["path"]: item for item in json.loads(done.stdout)}


def test_the_whole_tree_is_yaml_with_origins(shop: Path) -> None:
    done = run("shop.yaml", "--set", "components.network=host")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split("#")[0].rstrip(): line.partition("# ")[2] for line in done.stdout.splitlines()}
    assert lines["name: shop"] == "shop.yaml:2:7"
    assert lines["    - use: runc"] == "shop.yaml:6:13"
    assert lines["      as: fast"] == "shop.yaml:6:35"
    assert lines["        mode: auto"] == "shop.yaml:7:44, with store from shop.yaml:4:15"
    assert lines["    - use: host"] == "--set"
    assert lines["    - use: docker"] == "default of moby-py"
    assert lines["        parallel_downloads: 3"] == "default of image_store/overlay"
    tree = yaml.safe_load(done.stdout)
    assert [item["as"] for item in tree["components"]["runtime"]] == ["runc", "fast"]
    assert tree["images"] == ["docker.io/library/alpine:3"]


def test_one_value_and_what_it_replaced(shop: Path) -> None:
    assert run("name", "shop.yaml").stdout == (
        'name = "shop"\n  file: shop.yaml:2:7\n  instead of base.yaml:2:7, extended by shop.yaml\n'
    )
    assert run("components.network.use", "shop.yaml").stdout == (
        'components.network[0].use = "none"\n  extends: base.yaml:6:12, extended by shop.yaml\n'
    )
    assert run("components.image_store.with.parallel_downloads", "shop.yaml").stdout == (
        "components.image_store[0].with.parallel_downloads = 3\n  default of image_store/overlay\n"
    )


@pytest.mark.parametrize(
    ("args", "path", "how", "line"),
    [
        ([], "name", "file", 2),
        ([], "components.network[0].use", "extends", 6),
        ([], "components.image_store[0].with.parallel_downloads", "default", 0),
        (["--var", "store=copy"], "components.image_store[0].with.mode", "--var", 7),
        (
            ["--set", "components.image_store.with.mode=copy"],
            "components.image_store[0].with.mode",
            "--set",
            0,
        ),
        ([], "components.secrets[0].with.identity", "env", 8),
        ([], "vars.key", "env", 4),
        ([], "components.engine[0].use", "default", 0),
    ],
)
def test_as_json(shop: Path, args: list[str], path: str, how: str, line: int) -> None:
    item = origins(path, "shop.yaml", *args)[path]
    assert (item["how"], item["line"]) == (how, line)


def test_the_environment_is_not_shown(shop: Path) -> None:
    for args in (
        ["shop.yaml"],
        ["--json", "shop.yaml"],
        ["components.secrets", "shop.yaml"],
        ["vars", "shop.yaml"],
    ):
        done = run(*args)
        assert done.returncode == 0
        assert KEYS not in done.stdout + done.stderr
    item = origins("components.secrets.with.identity", "shop.yaml")["components.secrets[0].with.identity"]
    assert (item["value"], item["masked"]) == ("${env:KEYS}/id.txt", True)
    assert item["detail"] == "with key from shop.yaml:4:26, with KEYS of the environment"


def test_from_standard_input(shop: Path) -> None:
    assert run("name", "-", stdin=BASE).stdout == 'name = "base"\n  file: <stdin>:2:7\n'


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (
            ["components.runtim", "shop.yaml"],
            "error: the blueprint has nothing at components.runtim\nhint: did you mean components.runtime?\n",
        ),
        (
            ["components.runtime[2]", "shop.yaml"],
            "error: the blueprint has nothing at components.runtime[2]\n"
            "hint: components.runtime has 2 items\n",
        ),
        (
            ["name.x", "shop.yaml"],
            "error: the blueprint has nothing at name.x\nhint: name has nothing in it\n",
        ),
        (["a[", "shop.yaml"], 'error: "a[" is not a path\nhint: components.runtime[0].with\n'),
        (
            ["zzz", "shop.yaml"],
            "error: the blueprint has nothing at zzz\n"
            "hint: a blueprint has blueprint, name, components, images, vars\n",
        ),
        (
            ["shop.yaml", "--set", "nmae=x"],
            'error: --set: nmae: unknown key "nmae"\n  hint: did you mean "name"?\n',
        ),
    ],
)
def test_mistakes(shop: Path, args: list[str], expected: str) -> None:
    done = run(*args)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_the_blueprint_of_this_folder_needs_no_name(shop: Path) -> None:
    (shop / "shop.yaml").rename(shop / "blueprint.yaml")
    assert run().stdout == run("blueprint.yaml").stdout != ""
    assert run("components.runtime[1].as").stdout == (
        'components.runtime[1].as = "fast"\n  file: blueprint.yaml:6:35\n'
    )
    assert run("components.runtim").stderr == run("components.runtim", "blueprint.yaml").stderr


def test_usage() -> None:
    done = run("a", "b", "c")
    assert done.returncode == 2
    assert "give a blueprint, or a path in it and a blueprint" in done.stderr
    done = run("x.yaml", "--var", "novalue")
    assert (done.returncode, "'novalue' is not NAME=VALUE" in done.stderr) == (2, True)
