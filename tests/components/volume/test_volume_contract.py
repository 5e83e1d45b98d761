"""volume/local keeps every promise of its kind, also where a volume has a mount of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from moby_components.volume.local.component import Local
from moby_py.testing import VolumeContract


class TestLocal(VolumeContract):
    component_class = Local
    bad_options = (({"root": "/x"}, "'root' was unexpected"),)


@pytest.mark.root
class TestLocalWithAMount(VolumeContract):
    """`-o type=none -o o=bind -o device=FOLDER`; what is there after a removal belongs to the host."""

    component_class = Local

    @pytest.fixture
    def volume_options(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "elsewhere").mkdir()
        return {"type": "none", "o": "bind", "device": str(tmp_path / "elsewhere")}

    test_removed_data_is_gone = None  # type: ignore[assignment]
