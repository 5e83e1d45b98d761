"""The platform's own command against a server of the doubles."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.api_serving import Host


@dataclass
class Words:
    host: Host
    out: Path

    @property
    def env(self) -> dict[str, str]:
        return {**self.host.env, "MOBY_PY_RUN": str(self.host.home)}

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "moby_py", "-p", str(self.out), *args]

    def __call__(self, *args: str, input: bytes = b"") -> subprocess.CompletedProcess:
        return subprocess.run(self.argv(*args), env=self.env, input=input, capture_output=True, timeout=60)

    def ok(self, *args: str, input: bytes = b"") -> str:
        done = self(*args, input=input)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()
