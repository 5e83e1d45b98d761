"""Where state and run-time files go: environment, XDG, and a fallback that nobody else prepared."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from assembler.rootless import ordinary
from moby_py.directories import run_dir, state_dir

CODE = """
from moby_py.directories import run_dir, state_dir
try:
    print(state_dir("shop")); print(run_dir("shop"))
except Exception as error:
    print(error.message); print(error.hint)
"""


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOBY_PY_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("MOBY_PY_RUN", str(tmp_path / "r"))
    assert state_dir("shop") == tmp_path / "s/shop"
    assert run_dir("shop") == tmp_path / "r/shop"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOBY_PY_STATE", raising=False)
    monkeypatch.delenv("MOBY_PY_RUN", raising=False)
    assert state_dir("shop") == Path("/var/lib/moby-py/shop")
    assert run_dir("shop") == Path("/run/moby-py/shop")


@pytest.fixture
def home() -> Iterator[Path]:
    with ordinary.user_dir() as home:
        yield home


def test_xdg(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(home / "run", ordinary.UID, ordinary.UID)
    env = {"XDG_DATA_HOME": f"{home}/data", "XDG_RUNTIME_DIR": f"{home}/run"}
    said = ordinary.run(CODE, home=home, env=env).stdout.splitlines()
    assert said == [f"{home}/data/moby-py/shop", f"{home}/run/moby-py/shop"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be several users")
def test_fallback_is_private_or_refused(home: Path) -> None:
    """A relative XDG directory is ignored, as its specification says."""
    env = {"XDG_DATA_HOME": "data", "XDG_RUNTIME_DIR": str(home / "nothing")}
    uid = 54321
    fallback = Path(f"/tmp/moby-py-{uid}")
    try:
        said = ordinary.run(CODE, home=home, env=env, uid=uid).stdout.splitlines()
        assert said == [f"{home}/.local/share/moby-py/shop", f"{fallback}/shop"]
        assert (fallback.stat().st_uid, fallback.stat().st_mode & 0o777) == (uid, 0o700)
        os.chown(fallback, 12, 12)
        said = ordinary.run(CODE, home=home, env=env, uid=uid).stdout.splitlines()
        assert said[1:] == [
            "no private directory for run-time files - "
            f"{fallback} is not a directory of yours with mode 0700",
            "set XDG_RUNTIME_DIR or MOBY_PY_RUN to a directory that only you can enter",
        ]
    finally:
        fallback.rmdir()
