"""A fresh virtual environment with other people's packages in it, installed by pip as anyone would."""

from __future__ import annotations

import pytest

from support.third_party import BROKEN, Environment, make_environment


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """moby-py-acme and all broken packages but the one that clashes with it."""
    pytest.importorskip("pip", reason="needs pip")
    pytest.importorskip("hatchling", reason="needs hatchling")
    made = make_environment(tmp_path_factory.mktemp("third-party"))
    made.install("moby-py-acme", *BROKEN)
    return made
