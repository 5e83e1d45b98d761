"""The contract that every runtime keeps, as plugin authors get it, for ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from moby_components.runtime.crun import Crun
from moby_components.runtime.oci import Oci
from moby_components.runtime.runc import Runc
from moby_components.runtime.runsc import Runsc
from moby_py.testing.contracts.runtime import RuntimeContract


class TestRunc(RuntimeContract):
    component_class = Runc


class TestCrun(RuntimeContract):
    component_class = Crun


class TestRunsc(RuntimeContract):
    component_class = Runsc


class TestOci(RuntimeContract):
    """Any program by path: crun here, under another name."""

    component_class = Oci

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        path = tmp_path / "my-runtime"
        path.symlink_to(shutil.which("crun") or pytest.skip("needs crun (apt-get install crun)"))
        return {"path": str(path)}

    @pytest.fixture
    def binaries(self, options: dict[str, Any]) -> dict[str, Path]:
        conmon = shutil.which("conmon") or pytest.skip("needs conmon (apt-get install conmon)")
        return {"my-runtime": Path(options["path"]), "conmon": Path(conmon)}
