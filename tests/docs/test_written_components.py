"""The drivers of docs/write-a-component.md, out of the page: they keep the contracts, and a platform runs
with them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.lab import lab
from support.platform import ROOT, platform

PAGE = ROOT / "docs/write-a-component.md"
NO_OPTIONS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
}
CONTRACTS = """
import pytest
from depot import Depot
from moby_py.testing import NetworkContract, VolumeContract
from wire import Wire

class TestWire(NetworkContract):
    component_class = Wire

class TestDepot(VolumeContract):
    component_class = Depot

    @pytest.fixture
    def options(self, tmp_path):
        return {"folder": str(tmp_path / "disk")}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A folder with what the page says to write, under the names it gives."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(# (?:wire|depot)\.py: .*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / block.split(":")[0].removeprefix("# ")).write_text(block)
    schemas = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert len(schemas) == 1
    (tmp_path / "depot.schema.json").write_text(schemas[0])
    (tmp_path / "wire.schema.json").write_text(json.dumps(NO_OPTIONS))
    return tmp_path


@pytest.mark.root
def test_they_keep_the_contracts(written: Path) -> None:
    (written / "test_written.py").write_text(CONTRACTS)
    done = _python(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_written.py"], written)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2} passed", done.stdout, re.M)


@pytest.mark.root
@pytest.mark.timeout(240)
def test_a_platform_runs_with_them(written: Path) -> None:
    blueprint = written / "shop.yaml"
    parts: Mapping[str, object] = {
        "runtime": "bubblewrap",
        "image_store": "overlay",
        "network": "wire",
        "volume": {"use": "depot", "with": {"folder": str(written / "disk")}},
    }
    blueprint.write_text(json.dumps({"blueprint": 1, "name": "shop", "components": parts}))
    plugins = (written / "wire.py", written / "depot.py")
    with lab() as here, platform(blueprint, plugins=plugins, user=here.prefix) as moby:
        before = here.interfaces()
        moby("image", "from-host", "-t", "tools", "sh", "busybox")
        moby("network", "create", "back")
        serve = "echo hello > /data/index.html; exec busybox httpd -f -p 80 -h /data"
        moby(
            "run", "-d", "--name", "web", "--network", "back", "-v", "data:/data", "tools", "sh", "-c", serve
        )
        ask = (
            *("run", "--rm", "--network", "back", "tools", "sh", "-c"),
            "for try in 1 2 3 4 5 6 7 8 9; do busybox wget -qO- http://web/ && break; busybox sleep .2; done",
        )
        assert moby(*ask).stdout == "hello\n"
        assert (written / "disk/data/index.html").read_text() == "hello\n"
        moby.kill_daemon()
        moby.up()
        assert moby(*ask).stdout == "hello\n"
        moby("rm", "-f", "web")
        moby("network", "rm", "back")
        moby("volume", "rm", "data")
        assert list((written / "disk").iterdir()) == []
        moby.down()
        assert here.interfaces() <= before
        assert here.leftovers() == []


def _python(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
