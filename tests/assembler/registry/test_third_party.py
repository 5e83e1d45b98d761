"""Other people's packages, installed with pip, through the real command line.

`moby-py-acme` is whole: our commands know its components, it passes the conformance kit where it is
installed, and a blueprint uses it. The others are broken, each in its own way: they are named, and a
blueprint that does not use them works on.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from moby_py import __version__
from support.third_party import Environment, clean

BLUEPRINT = """\
blueprint: 1
name: shop
components:
  runtime:
    - {use: acme, with: {hostname_prefix: acme-}}
  image_store: overlay
  network: none
  secrets: filevault
"""
PLAIN = "blueprint: 1\nname: plain\ncomponents: {runtime: runc, image_store: overlay, network: none}\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(BLUEPRINT)
    (tmp_path / "plain.yaml").write_text(PLAIN)
    return tmp_path


def statuses(environment: Environment, cwd: Path) -> dict[str, tuple[str, str, str]]:
    listed = json.loads(environment.moby("components", "--json", cwd=cwd).stdout)
    return {f"{c['kind']}.{c['name']}": (c["distribution"], c["status"], c["why"]) for c in listed}


def test_components_lists_whose_they_are_and_what_is_wrong(environment: Environment, shop: Path) -> None:
    found = statuses(environment, shop)
    acme = found["runtime.acme"]
    assert acme[0] == "moby-py-acme"
    assert acme[1:] in (("ok", ""), ("unavailable", acme[2]))
    assert found["secrets.filevault"] == ("moby-py-acme", "ok", "")
    assert found["volume.shelf"] == ("moby-py-acme", "ok", "")
    assert found["secrets.empty"] == ("moby-py-noimport", "ok", "")
    assert found["policy.raises"] == ("moby-py-raises", "ok", "")
    assert found["policy.hangs"] == ("moby-py-hangs", "ok", "")
    assert found["runtime.noimport"] == (
        "moby-py-noimport",
        "broken",
        "cannot import moby_py_noimport.runtime: libnoimport.so is missing",
    )
    assert found["secrets.wrongsig"] == (
        "moby-py-wrongsig",
        "broken",
        "WrongSignature breaks the secrets contract - method reveal does not fit: "
        "it is reveal(self, ref: 'str', password: 'str') -> 'bytes', "
        "the contract is reveal(self, ref: 'str') -> 'bytes'",
    )
    assert found["secrets.badschema"] == (
        "moby-py-badschema",
        "broken",
        "its option schema is not valid JSON Schema (draft 2020-12) - at properties.folder.type: "
        "'strin' is not valid under any of the given schemas",
    )
    assert found["secrets.misspelled"][:2] == ("moby-py-misspelled", "broken")
    assert found["secrets.misspelled"][2].startswith(
        "moby_py_misspelled has a hook that nobody calls - unknown hook 'moby_component' in plugin"
    )


def test_components_as_a_table(environment: Environment, shop: Path) -> None:
    lines = environment.moby("components", "secrets", cwd=shop).stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "FROM", "STATUS", "SUMMARY", "/", "WHY"]
    rows = {line.split()[1]: line for line in lines[1:]}
    assert rows["age"].split()[2:4] == ["moby-py", __version__]
    assert " moby-py-acme 0.1 " in rows["filevault"]
    assert rows["filevault"].endswith("ok       one age-encrypted file per secret")


def test_a_blueprint_uses_them(environment: Environment, shop: Path) -> None:
    environment.moby("build", "shop.yaml", cwd=shop)
    lock = json.loads((shop / "out/platform.lock").read_text())
    mine = {(c["kind"], c["use"]): c for c in lock["components"] if c["distribution"] == "moby-py-acme"}
    assert set(mine) == {("runtime", "acme"), ("secrets", "filevault")}
    assert mine["runtime", "acme"]["version"] == "0.1"
    assert len(mine["runtime", "acme"]["sha256"]) == 64
    assert {"name": "moby-py-acme", "version": "0.1"} in lock["distributions"]
    text = (shop / "out/platform.yaml").read_text()
    assert "hostname_prefix: acme-" in text
    assert "nice: 0" in text
    assert f"exec {environment.python} -P -m moby_py" in (shop / "out/bin/shop").read_text()


def test_check_says_what_it_needs(environment: Environment, shop: Path) -> None:
    report = json.loads(environment.moby("check", "shop.yaml", "--json", cwd=shop).stdout)
    needed = {f["name"]: f for f in report["findings"] if "runtime/acme" in f["users"]}
    assert needed["root"]["why"] == "acme makes namespaces as root"


def test_schema_and_explain_know_their_options(environment: Environment, shop: Path) -> None:
    schema = environment.moby("schema", cwd=shop).stdout
    assert "Put before every container's host name." in schema
    json.loads(schema)
    said = environment.moby("explain", "components.runtime.with.nice", "shop.yaml", cwd=shop).stdout
    assert "default" in said
    assert "acme" in said


def test_a_wrong_option_is_a_located_problem(environment: Environment, shop: Path) -> None:
    (shop / "shop.yaml").write_text(BLUEPRINT.replace("acme-}", "acme-, nice: 20}"))
    done = environment.moby("build", "shop.yaml", cwd=shop, status=2)
    assert "shop.yaml:5:" in done.stderr
    assert "components.runtime[0].with.nice" in done.stderr
    assert not (shop / "out").exists()


BROKEN = {
    "runtime=noimport": (
        "cannot import moby_py_noimport.runtime (from moby-py-noimport 0.1): libnoimport.so is missing"
    ),
    "secrets=wrongsig": "WrongSignature (from moby-py-wrongsig 0.1) breaks the secrets contract - ",
    "secrets=badschema": (
        "secrets.badschema (from moby-py-badschema 0.1): its option schema is not valid JSON Schema"
    ),
    "secrets=misspelled": "moby_py_misspelled (from moby-py-misspelled 0.1) has a hook that nobody calls",
}


@pytest.mark.parametrize("choice", BROKEN)
def test_a_blueprint_that_names_a_broken_one_is_told_which_package(
    environment: Environment, shop: Path, choice: str
) -> None:
    done = environment.moby("build", "plain.yaml", "--set", f"components.{choice}", cwd=shop, status=2)
    assert BROKEN[choice] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (shop / "out").exists()


def test_a_blueprint_that_names_none_of_them_works_on(environment: Environment, shop: Path) -> None:
    done = environment.moby("build", "plain.yaml", cwd=shop)
    assert done.stderr == ""
    assert (shop / "out/platform.yaml").is_file()


def test_hooks_that_raise_and_hang_leave_the_build_alone(environment: Environment, shop: Path) -> None:
    sets = ("--set", "components.policy=raises")
    environment.moby("build", "plain.yaml", *sets, cwd=shop)
    assert "policy" in (shop / "out/platform.yaml").read_text()


def test_a_name_that_two_packages_bring(environment: Environment, shop: Path) -> None:
    environment.install("moby-py-clash")
    try:
        listed = json.loads(environment.moby("components", "secrets", "--json", cwd=shop).stdout)
        both = [c for c in listed if c["name"] == "filevault"]
        assert {c["distribution"] for c in both} == {"moby-py-acme", "moby-py-clash"}
        assert {c["status"] for c in both} == {"broken"}
        done = environment.moby("build", "shop.yaml", cwd=shop, status=2)
        assert (
            "secrets.filevault is brought twice - by moby-py-acme 0.1 and by moby-py-clash 0.1" in done.stderr
        )
        environment.moby("build", "plain.yaml", cwd=shop)
    finally:
        environment.uninstall("moby-py-clash")
    environment.moby("build", "shop.yaml", cwd=shop)


def test_its_own_tests_pass_where_it_is_installed(environment: Environment) -> None:
    done = subprocess.run(
        [str(environment.python), "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=environment.sources / "moby-py-acme",
        capture_output=True,
        text=True,
        env=clean(),
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
