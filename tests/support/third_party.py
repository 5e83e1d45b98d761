"""A fresh virtual environment with other people's packages in it, installed by pip as anyone would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / "tests/fixtures/third_party"
BROKEN = tuple(
    f"moby-py-{name}" for name in ("noimport", "wrongsig", "badschema", "raises", "hangs", "misspelled")
)


@dataclass(frozen=True)
class Environment:
    """`python` of the environment; `sources` holds copies of the packages, away from our tree."""

    python: Path
    sources: Path

    def install(self, *names: str) -> None:
        """pip install, from the copies. No index: everything they need is there."""
        self._pip("install", "--no-deps", "--no-build-isolation", *(str(self.sources / n) for n in names))

    def uninstall(self, *names: str) -> None:
        self._pip("uninstall", "-y", *names)

    def _pip(self, *args: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check"]
        if args[0] == "install":
            args = (*args, "--no-index")
        done = subprocess.run(
            [*pip, *args, "--quiet", "--root-user-action=ignore"],
            capture_output=True,
            text=True,
            env=clean(),
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def moby(self, *args: str, cwd: Path, status: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """`moby-py ARGS` in this environment; its exit status must be `status`."""
        done = subprocess.run(
            [str(self.python), "-P", "-m", "moby_py", *args],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**clean(), **env},
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"status {done.returncode}\n{done.stdout}{done.stderr}"
        return done


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "PIP_", "MOBY_PY"))}


def make_environment(base: Path) -> Environment:
    """A virtual environment below `base`. moby-py comes from this tree, its dependencies from the running
    interpreter's packages; third-party packages are really installed."""
    sources = base / "sources"
    shutil.copytree(PACKAGES, sources)
    venv.create(base / "venv", symlinks=True)
    where = sysconfig.get_paths(vars={"base": str(base / "venv")})["purelib"]
    lines = [
        str(ROOT / "assembler"),
        str(ROOT / "components"),
        f"import site; site.addsitedir({sysconfig.get_paths()['purelib']!r})",
    ]
    Path(where, "moby-py-of-this-tree.pth").write_text("\n".join(lines) + "\n")
    return Environment(base / "venv/bin/python", sources)
