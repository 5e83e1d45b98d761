"""A build from end to end, on toy components: files, determinism, lock, hooks, refusals."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from moby_py.assembly import Request, Result, build
from moby_py.errors import BlueprintError, HostError, MobyError, PluginError
from moby_py.lock import verify

TOYS = Path(__file__).parent / "toys.py"
BLUEPRINT = """\
blueprint: 1
name: shop
components:
  runtime:
    - {use: toy, with: {colours: [red, blue]}}
    - {use: bare, as: fast}
  image_store: toy
  network: toy
  secrets: toy
  engine: toy
  api: toy
  mesh: toy
images: [docker.io/library/alpine:3]
"""
Build = Callable[..., Result]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tool"
    path.write_text("#!/bin/sh\necho toy 1.2.3\n")
    path.chmod(0o755)
    monkeypatch.setenv("TOY_TOOL", str(path))
    return path


@pytest.fixture
def run(tmp_path: Path, tool: Path) -> Build:
    """`run(out="out", text=..., **options)`: build BLUEPRINT (or `text`) into tmp_path/out."""

    def run(out: str = "out", text: str = BLUEPRINT, **options: Any) -> Result:
        file = tmp_path / "shop.yaml"
        file.write_text(text)
        return build(Request(file, plugins=[str(TOYS)]), tmp_path / out, **options)

    return run


def tree(directory: Path) -> Mapping[str, tuple[bytes, int]]:
    return {
        p.relative_to(directory).as_posix(): (p.read_bytes(), p.stat().st_mode)
        for p in directory.rglob("*")
        if p.is_file()
    }


def test_the_directory_has_what_the_design_says(run: Build, tmp_path: Path) -> None:
    run()
    assert sorted(tree(tmp_path / "out")) == [
        "bin/shop",
        "etc/runtime/toy/conf.d/toy.toml",
        "graph.mmd",
        "graph.svg",
        "platform.lock",
        "platform.yaml",
        "sbom.cdx.json",
        "units/shop.service",
    ]


def test_platform_yaml_is_the_resolved_blueprint(run: Build, tmp_path: Path) -> None:
    run()
    data = yaml.safe_load((tmp_path / "out/platform.yaml").read_text())
    assert (data["blueprint"], data["name"]) == (1, "shop")
    assert data["components"]["runtime"] == [
        {"use": "toy", "as": "toy", "with": {"colours": ["red", "blue"], "size": 3}},
        {"use": "bare", "as": "fast", "with": {}},
    ]
    kinds = ["image_store", "runtime", "network", "volume", "secrets", "mesh", "engine", "api"]
    assert list(data["components"]) == kinds
    assert data["images"] == ["docker.io/library/alpine:3"]
    assert data["plugins"] == [str(TOYS)]


def test_native_configs_are_written_and_know_no_output_directory(run: Build, tmp_path: Path) -> None:
    run()
    text = (tmp_path / "out/etc/runtime/toy/conf.d/toy.toml").read_text()
    assert text.splitlines()[1] == "size = 3"
    assert str(tmp_path / "out") not in text


def test_two_builds_are_the_same_bytes_wherever_they_are_written(run: Build, tmp_path: Path) -> None:
    run("one")
    run("deep/er/two")
    run("one.tar")
    assert tree(tmp_path / "one") == tree(tmp_path / "deep/er/two")
    first = (tmp_path / "one.tar").read_bytes()
    run("one.tar")
    assert (tmp_path / "one.tar").read_bytes() == first
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / "one.tar"), "-C", str(tmp_path / "unpacked")], check=True)
    assert tree(tmp_path / "unpacked/one") == tree(tmp_path / "one")


def test_two_processes_give_the_same_bytes_whatever_the_hash_seed(run: Build, tmp_path: Path) -> None:
    run("here")
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "moby_py", "build", "shop.yaml", "--plugin", str(TOYS), "-o", seed]
        environ = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert tree(tmp_path / seed) == tree(tmp_path / "here")


def test_the_lock_names_every_part(run: Build, tmp_path: Path, tool: Path) -> None:
    run()
    lock = json.loads((tmp_path / "out/platform.lock").read_text())
    assert lock["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert [(c["kind"], c["id"]) for c in lock["components"]][:3] == [
        ("image_store", "toy"),
        ("runtime", "toy"),
        ("runtime", "fast"),
    ]
    assert [(b["name"], b["path"], b["version"]) for b in lock["binaries"]] == [
        ("toy-tool", str(tool), "1.2.3")
    ]
    names = {d["name"].lower() for d in lock["distributions"]}
    assert {"click", "pluggy", "jsonschema", "pyyaml", "attrs"} <= names


def test_locked_takes_what_is_locked_and_refuses_a_changed_program(
    run: Build, tmp_path: Path, tool: Path
) -> None:
    run()
    before = tree(tmp_path / "out")
    old = json.loads((tmp_path / "out/platform.lock").read_text())["binaries"][0]["sha256"][:12]
    run(locked=True)
    verify(tmp_path / "out")
    tool.write_text("#!/bin/sh\necho toy 1.2.4\n")
    new = hashlib.sha256(tool.read_bytes()).hexdigest()[:12]
    message = (
        f"1 part differs from the lock of {tmp_path}/out - "
        f"runtime/toy: {tool} is 1.2.4 (sha256 {new}), locked is 1.2.3 (sha256 {old})"
    )
    for refuse in (lambda: run(locked=True), lambda: verify(tmp_path / "out")):
        with pytest.raises(MobyError) as caught:
            refuse()
        assert caught.value.message == message
        assert caught.value.exit_status == 1
    assert tree(tmp_path / "out") == before
    tool.unlink()
    with pytest.raises(MobyError, match=r"runtime/toy: \S+/tool is gone, locked is 1\.2\.3$"):
        verify(tmp_path / "out")


def test_locked_names_packages_and_components_that_differ(run: Build, tmp_path: Path) -> None:
    run()
    path = tmp_path / "out/platform.lock"
    lock = json.loads(path.read_text())
    lock["distributions"] = [
        {**d, "version": "0.0.1"} if d["name"] == "click" else d for d in lock["distributions"]
    ] + [{"name": "no-such", "version": "1"}]
    lock["components"][1]["sha256"] = "0" * 64
    lock["components"].append({**lock["components"][0], "id": "other"})
    lock["python"]["version"] = "3.1.4"
    path.write_text(json.dumps(lock))
    with pytest.raises(MobyError) as caught:
        run(locked=True)
    text = caught.value.message
    assert text.startswith(f"5 parts differ from the lock of {tmp_path}/out - Python is 3.")
    assert ", locked is 3.1.4; runtime/toy: " in text
    assert "(sha256 000000000000); image_store/other: toy of " in text
    assert "; package click is " in text
    assert text.endswith(", locked is 0.0.1; package no-such is gone, locked is 1")


def test_locked_needs_a_lock(run: Build, tmp_path: Path) -> None:
    with pytest.raises(MobyError) as caught:
        run(locked=True)
    assert caught.value.message == (
        f"there is no {tmp_path}/out/platform.lock to compare with - No such file or directory"
    )
    run()
    (tmp_path / "out/platform.lock").write_text("{")
    with pytest.raises(MobyError, match=r"^the lock of \S+/out is damaged - "):
        run(locked=True)


def test_a_wrong_blueprint_leaves_no_directory(run: Build, tmp_path: Path) -> None:
    wrong = BLUEPRINT.replace("colours: [red, blue]", "size: big, shape: round").replace(
        "network: toy", "network: tyo"
    )
    with pytest.raises(BlueprintError) as caught:
        run(text=wrong)
    assert [p.path for p in caught.value.problems] == [
        "components.runtime[0].with.size",
        "components.runtime[0].with.shape",
        "components.network.use",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shop.yaml", "tool"]


def test_a_missing_program_is_exit_status_3_and_leaves_no_directory(
    run: Build, tmp_path: Path, tool: Path
) -> None:
    tool.unlink()
    with pytest.raises(HostError) as caught:
        run()
    assert caught.value.message == (
        f"this host lacks what the blueprint needs - runtime/toy: there is no program {tool}"
    )
    assert not (tmp_path / "out").exists()


def test_hooks_of_a_build_see_it_and_cannot_break_it(
    run: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_BEFORE", "I do not like it")
    monkeypatch.setenv("TOY_AFTER", "a toy was here")
    result = run()
    assert result.warnings == (
        f"plugin moby_py_plugin_toys (from {TOYS}): its hook before_build raised ValueError: "
        "I do not like it - it is passed over",
    )
    assert (tmp_path / "out/toy.txt").read_text() == "a toy was here"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"../x": ""}', "its native_config names '../x' - a config file is text inside its own folder"),
        ('{"/etc/x": ""}', "its native_config names '/etc/x' - a config file is text inside its own folder"),
        ('{"x": b""}', "its native_config names 'x' - a config file is text inside its own folder"),
        ("1 / 0", "its native_config failed - ZeroDivisionError: division by zero"),
    ],
)
def test_a_native_config_stays_in_its_folder(
    run: Build, tmp_path: Path, returned: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / f"bad{abs(hash(returned))}.py"
    plugin.write_text(
        "from moby_py import Component, hookimpl\n"
        "class Bad(Component):\n    kind, name, summary = 'gadget', 'bad', ''\n"
        f"    @classmethod\n    def native_config(cls, options, platform):\n        return {returned}\n"
        "@hookimpl\ndef moby_components():\n    return [Bad]\n"
    )
    file = tmp_path / "b.yaml"
    file.write_text(BLUEPRINT + "vars: {}\n")
    file.write_text(BLUEPRINT.replace("  mesh: toy", "  gadget: bad"))
    with pytest.raises(PluginError) as caught:
        build(Request(file, plugins=[str(TOYS), str(plugin)]), tmp_path / "out")
    assert caught.value.message == f"gadget/bad: {message}"
    assert not (tmp_path / "out").exists()


def test_the_bill_of_materials_is_valid_cyclonedx(run: Build, tmp_path: Path, tool: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    run()
    text = (tmp_path / "out/sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    by_ref = {c["bom-ref"]: c for c in document["components"]}
    assert by_ref[f"program:{tool}"]["version"] == "1.2.3"
    assert by_ref[f"plugin:{TOYS}"]["type"] == "file"
    assert any(ref.startswith("pkg:pypi/pluggy@") for ref in by_ref)
    assert "timestamp" not in text
    assert set(document["dependencies"][0]["dependsOn"]) == set(by_ref)


def test_the_unit_is_one_that_systemd_takes(run: Build, tmp_path: Path) -> None:
    run()
    unit = tmp_path / "out/units/shop.service"
    text = unit.read_text()
    assert "Type=notify\n" in text
    assert f"ExecStart={sys.executable} -P -m moby_py up %Y/..\n" in text
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("needs systemd-analyze (apt-get install systemd)")
    assert "shop.service" not in done.stderr, done.stderr


def test_the_command_finds_its_platform_from_anywhere(run: Build, tmp_path: Path) -> None:
    run()
    moved = tmp_path / "else where"
    (tmp_path / "out").rename(moved)
    (tmp_path / "link").symlink_to(moved / "bin/shop")
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$MOBY_PY_PROG|$*"\n')
    fake.chmod(0o755)
    script = moved / "bin/shop"
    script.write_text(script.read_text().replace(f"exec {sys.executable}", f"exec {fake}"))
    for command, cwd, prog in (
        ([str(script)], tmp_path, "shop"),
        (["./shop"], moved / "bin", "shop"),
        (["sh", "shop"], moved / "bin", "shop"),
        ([str(tmp_path / "link")], tmp_path, "link"),
    ):
        done = subprocess.run([*command, "run", "a b"], cwd=cwd, capture_output=True, text=True, check=True)
        assert done.stdout == f"{prog}|-P -m moby_py -p {moved} run a b\n"
    done = subprocess.run(
        ["shop"], env={"PATH": f"{moved}/bin:/bin:/usr/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"shop|-P -m moby_py -p {moved}\n"
