"""An image of this host's own programs runs by itself: nothing of it is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from components.image_store.rooms import leftovers, mounted, refused, run_in
from moby_components.image_store.overlay.host.closure import closure_of
from moby_components.image_store.overlay.host.elf import read_elf
from moby_components.image_store.overlay.store import Overlay
from moby_py.errors import InvalidArgument, NotFound


def inside(root: Path, *argv: str) -> str:
    done = subprocess.run(["chroot", str(root), *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.root
def test_dynamic_programs_run_in_it(room: Path) -> None:
    async def work(store: Overlay) -> None:
        image = await store.import_from_host(["sh", "ls", "id"], "docker.io/test/host:1")
        assert image.references == ("docker.io/test/host:1",)
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            assert inside(root, image.config["config"]["Cmd"][0], "-c", "echo hello; exit 0") == "hello\n"
            assert inside(root, "/bin/ls", "/etc").split() == ["group", "nsswitch.conf", "passwd"]
            assert inside(root, "/usr/bin/id", "-un") == "root\n"
            assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
            setid = [
                p for p in root.rglob("*") if not p.is_symlink() and p.is_file() and p.stat().st_mode & 0o6000
            ]
            assert setid == []
            assert {p.lstat().st_uid for p in root.rglob("*")} == {0}

    run_in(room / "store", work)


@pytest.mark.root
def test_busybox_brings_its_applets(room: Path) -> None:
    if shutil.which("busybox") is None:
        pytest.skip("needs busybox (apt-get install busybox-static)")

    async def work(store: Overlay) -> None:
        image = await store.import_from_host(["busybox"], "docker.io/test/busybox:1")
        with mounted(await store.prepare(image.id, "c"), room / "root") as root:
            assert inside(root, "/bin/sh", "-c", "echo one two | wc -w").strip() == "2"

    run_in(room / "store", work)


def test_what_a_program_needs() -> None:
    shell = Path(shutil.which("sh") or "/bin/sh").resolve()
    elf = read_elf(shell)
    assert elf
    assert any(name.startswith("libc.so") for name in elf.needed)
    found = closure_of(["sh"])
    assert str(shell) in found.files
    listed = subprocess.run(["ldd", str(shell)], capture_output=True, text=True, check=True).stdout
    wanted = {Path(word).resolve() for word in listed.split() if word.startswith("/")}
    assert wanted <= {Path(path) for path in found.files}
    assert read_elf(Path("/etc/passwd")) is None


def test_a_script_brings_its_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh -e\necho hi\n")
    script.chmod(0o755)
    found = closure_of([str(script)])
    assert str(Path("/bin/sh").resolve()) in found.files
    assert found.programs == [str(script)]


def test_what_is_not_there(tmp_path: Path) -> None:
    async def work(store: Overlay) -> None:
        error = await refused(store.import_from_host(["no-such-program-here"], "x:1"))
        assert (type(error), error.message) == (
            NotFound,
            "no such program on this host: no-such-program-here",
        )
        assert isinstance(await refused(store.import_from_host([], "x:1")), InvalidArgument)

    run_in(tmp_path, work)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("cut", [0, 10, 40, 64, 200, 5000])
def test_damaged_programs_are_no_programs(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut"
    path.write_bytes(Path("/bin/sh").resolve().read_bytes()[:cut])
    found = read_elf(path)
    assert found is None or found.needed == ()
