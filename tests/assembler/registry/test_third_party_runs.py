"""A platform whose runtime, secrets and policy are somebody else's runs containers like any other."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.third_party import Environment, clean

pytestmark = pytest.mark.root

BLUEPRINT = """\
blueprint: 1
name: tp
components: {runtime: acme, image_store: overlay, network: none, secrets: filevault, policy: raises,
  volume: [local, shelf]}
"""


class Shop:
    """A built platform in a short directory (its socket's path is limited)."""

    def __init__(self, environment: Environment, base: Path) -> None:
        self.environment, self.base = environment, base
        self.env = {"MOBY_PY_STATE": str(base / "s"), "MOBY_PY_RUN": str(base / "r")}

    def moby(self, *args: str, **env: str) -> str:
        return self.environment.moby(*args, cwd=self.base, **self.env, **env).stdout

    def __call__(self, *args: str, status: int = 0, input: str = "") -> tuple[str, str]:
        done = subprocess.run(
            [str(self.base / "out/bin/tp"), *args],
            input=input,
            capture_output=True,
            text=True,
            env={**clean(), **self.env},
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout, done.stderr


@pytest.fixture
def shop(environment: Environment) -> Iterator[Shop]:
    if not shutil.which("busybox"):
        pytest.skip("needs busybox (apt-get install busybox-static)")
    base = Path(tempfile.mkdtemp(prefix="tp-", dir="/tmp"))
    (base / "tp.yaml").write_text(BLUEPRINT)
    shop = Shop(environment, base)
    try:
        shop.moby("build", "tp.yaml")
        yield shop
    finally:
        subprocess.run(
            [str(environment.python), "-P", "-m", "moby_py", "down", "out"],
            cwd=base,
            env={**clean(), **shop.env},
            capture_output=True,
            check=False,
        )
        left = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
        shutil.rmtree(base, ignore_errors=True)
    assert left == []


def test_run_exec_secret_veto_and_adoption(shop: Shop) -> None:
    shop.moby("up", "-d", "out", ACME_DENY_IMAGES="forbidden*")
    shop("image", "from-host", "--tag", "kit", "busybox", "sh")
    assert shop("run", "--rm", "kit", "busybox", "echo", "hello")[0] == "hello\n"
    assert "ACME=1\n" in shop("run", "--rm", "kit", "busybox", "env")[0]
    shop("run", "--rm", "kit", "sh", "-c", "exit 7", status=7)
    shop("run", "--rm", "kit", "surely-not-there", status=127)
    assert shop("run", "-i", "--rm", "kit", "busybox", "cat", input="over and back")[0] == "over and back"

    shop("secret", "create", "token", "-", input="s3cret")
    mount = ("--mount", "type=secret,src=token,dst=/run/secrets/token")
    assert shop("run", "--rm", *mount, "kit", "busybox", "cat", "/run/secrets/token")[0] == "s3cret"

    shop("volume", "create", "-d", "shelf", "-o", "shelf=bottom", "books")
    said = shop("volume", "create", "-d", "shelf", "-o", "shelf=middle", "more", status=1)[1]
    assert "create more: acme has no shelf 'middle' - it has shelf=top and shelf=bottom" in said
    shop("run", "--rm", "-v", "books:/b", "kit", "sh", "-c", "echo a book > /b/one")
    status = shop("volume", "inspect", "-f", "{{.Status.shelf}} {{.Status.out}}", "books")[0]
    assert status == "bottom 0\n"
    shop("volume", "clone", "books", "copies")
    assert shop("run", "--rm", "-v", "copies:/b:ro", "kit", "busybox", "cat", "/b/one")[0] == "a book\n"
    places = sorted(path.parent.name for path in shop.base.glob("s/tp/volume/shelf/shelves/bottom/*/data"))
    assert places == ["books", "copies"]
    assert list(shop.base.glob("s/tp/volume/shelf/shelves/*/*/cards/*")) == [], "nobody has one out"
    assert shop("volume", "ls", "-q", "-f", "driver=shelf")[0] == "books\ncopies\n"
    shop("volume", "rm", "books", "copies")

    shop("tag", "kit", "forbidden:1")
    _, told = shop("run", "--rm", "forbidden:1", "busybox", "true", status=125)
    assert "image forbidden:1 is denied by acme - it matches 'forbidden*'" in told

    script = 'trap "exit 5" TERM; echo up; while :; do busybox sleep 0.1; done'
    shop("run", "-d", "--name", "web", "kit", "sh", "-c", script)
    os.kill(json.loads((shop.base / "r/tp/daemon.json").read_text())["pid"], signal.SIGKILL)
    shop.moby("up", "-d", "out")
    assert shop("exec", "web", "busybox", "echo", "still here")[0] == "still here\n"
    shop("stop", "web")
    assert shop("logs", "web")[0] == "up\n"
    assert shop("inspect", "--format", "{{.State.ExitCode}}", "web")[0].strip() == "5"
    shop("rm", "web")

    log = (shop.base / "s/tp/daemon.log").read_text()
    assert (
        "plugin moby_py_raises (from moby-py-raises 0.1): its hook container_spec raised ValueError: "
        "no such thing - it is passed over, and after 3 failures not asked again until the next start"
    ) in log
    assert "s3cret" not in log
