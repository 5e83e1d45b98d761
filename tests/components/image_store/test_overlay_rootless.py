"""The store of an ordinary user: overlayfs in a user namespace, with many ids and with one only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.image_store.rooms import leftovers, run_in, single, stream, tree
from moby_components.image_store.overlay.store import Overlay
from support.images import Layout, capability, nasty

CHILD = Path(__file__).with_name("rootless_child.py")
USER = 23456
"""An ordinary user whom nobody else is."""


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that the user owns, and may reach."""
    path = Path(tempfile.mkdtemp(prefix="moby-py-rootless-"))
    try:
        if os.geteuid() == 0:
            os.chown(path, USER, USER)
        yield path
    finally:
        shutil.rmtree(path)


def archive(home: Path) -> Path:
    layout = Layout(home / "oci")
    nasty(layout)
    path = home / "a.tar"
    subprocess.run(["tar", "-C", str(layout.path), "-cf", str(path), "."], check=True)
    path.chmod(0o644)
    return path


def user_and_environment() -> dict[str, Any]:
    ids: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"env": {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}, **ids}


def in_namespace(home: Path, uids: str, gids: str) -> tuple[dict[str, Any], str]:
    """Run the child as the user; we map its ids as newuidmap would. Returns (its answer, its log)."""
    data = archive(home)
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(home / "store"), str(data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        **user_and_environment(),
    )
    assert child.stdin
    assert child.stdout
    try:
        said = child.stdout.readline()
        if said != "unshared\n":
            pytest.skip(f"user namespaces are refused here: {child.communicate()[1].strip()[-200:]}")
        proc = Path(f"/proc/{child.pid}")
        (proc / "setgroups").write_text("deny")
        (proc / "uid_map").write_text(uids)
        (proc / "gid_map").write_text(gids)
        out, err = child.communicate("x", timeout=60)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == 0, err
    return json.loads(out), err


def as_root(home: Path) -> dict[str, str]:
    """The same image, mounted by root."""
    from components.image_store.rooms import mounted

    async def work(store: Overlay) -> dict[str, str]:
        image = single(await store.load(stream((home / "a.tar").read_bytes())))
        with mounted(await store.prepare(image.id, "c"), home / "root") as root:
            return {path: repr(e[:5] + e[6:]) for path, e in tree(root).items()}

    return run_in(home / "root-store", work)


@pytest.mark.root
def test_with_a_range_of_ids_all_but_devices_and_unmapped_owners_is_as_for_root(home: Path) -> None:
    ranges = f"0 {USER} 1\n1 200000 65536\n"
    found, log = in_namespace(home, ranges, ranges)
    assert found["mode"] == "overlayfs in a user namespace"
    assert found["options"][-1] == "userxattr"
    expected = as_root(home)
    mine = found["tree"]
    for path in ("dev/null", "dev/loop"):
        del expected[path]
    assert mine.pop("owned").startswith("('-rw-r--r--', 0, 0, 0, (8, ")
    assert expected.pop("owned").startswith("('-rw-r--r--', 300000, 65533, 0, (8, ")
    assert mine == expected
    assert found["capable"] == capability(1 << 10).hex()
    assert found["changes"] == [
        ["/empty", 2],
        ["/opq", 0],
        ["/opq/mine", 1],
        ["/opq/shown", 2],
    ]
    assert found["again"] == ["opq", "opq/mine"]
    assert "device nodes left out (2)" in log
    assert "owners that this user may not use became its own (1)" in log
    assert leftovers(home / "store") == []


def test_with_one_id_everything_is_the_users(home: Path) -> None:
    me = os.geteuid() or USER
    group = os.getegid() or USER
    found, log = in_namespace(home, f"0 {me} 1\n", f"0 {group} 1\n")
    assert found["mode"] == "overlayfs in a user namespace"
    owners = {entry.split(", ")[1:3] == ["0", "0"] for entry in found["tree"].values()}
    assert owners == {True}
    assert found["tree"]["setuid"].startswith("('-rwsr-xr-x'")
    assert "etc/gone" not in found["tree"]
    assert sorted(p for p in found["tree"] if p.startswith("opq")) == ["opq", "opq/shown"]
    assert found["again"] == ["opq", "opq/mine"]
    assert "owners that this user may not use became its own" in log
    assert leftovers(home / "store") == []


def test_without_any_namespace_images_are_copied(home: Path) -> None:
    """An ordinary user's process that may not mount: said, and it works."""
    data = archive(home)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(home / "store"), str(data), "plain"],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        **user_and_environment(),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mode"] == (
        "overlayfs is not used: every container gets a copy of its image "
        "(overlay: operation not permitted; userxattr: operation not permitted)"
    )
    assert found["type"] == "bind"
    assert found["tree"]["kind/inside"].startswith("('-rw-r--r--', ")
    assert "etc/gone" not in found["tree"]
    # Closed even to its owner, who is nobody privileged here: opened to it, and said.
    assert found["tree"]["closed"].startswith("('drwx------', ")
    assert "closed/inside" in found["tree"]
    assert "files closed to their owner opened to it (1)" in done.stderr
    assert found["changes"] == [["/kind", 0], ["/kind/inside", 0]]
    assert leftovers(home / "store") == []
