"""An unpacked image is the tree that umoci makes of it, entry by entry."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.image_store.rooms import Tree, collected, mounted, run_in, single, stream, tree
from moby_components.image_store.overlay.store import Overlay
from support.images import Layout, nasty
from support.layers import directory, file, hardlink, symlink, tar, whiteout

pytestmark = pytest.mark.root


def umoci_tree(layout: Layout, tag: str, target: Path) -> Tree:
    if shutil.which("umoci") is None:
        pytest.skip("needs umoci (apt-get install umoci)")
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout.path}:{tag}", str(target)], check=True, capture_output=True
    )
    return tree(target / "rootfs")


def our_tree(layout: Layout, tag: str, room: Path, **options: Any) -> Tree:
    archive = room / "layout.tar"
    subprocess.run(["tar", "-C", str(layout.path), "-cf", str(archive), "."], check=True)

    async def work(store: Overlay) -> Tree:
        image = single(await store.load(stream(archive.read_bytes())))
        rootfs = await store.prepare(image.id, "c")
        with mounted(rootfs, room / "root") as root:
            return tree(root)

    return run_in(room / "store", work, **options)


@pytest.mark.parametrize(
    ("how", "mode"), [("gzip", "overlay"), ("zstd", "overlay"), ("", "overlay"), ("gzip", "copy")]
)
def test_everything_a_layer_can_hold(room: Path, how: str, mode: str) -> None:
    layout = Layout(room / "oci")
    nasty(layout, how="gzip" if how == "zstd" else how)  # umoci 0.4 knows no zstd
    expected = umoci_tree(layout, "nasty", room / "bundle")
    if how == "zstd":
        layout = Layout(room / "oci-zstd")
        nasty(layout, how="zstd")
    found = our_tree(layout, "nasty", room, mode=mode)
    # A hard link to a file of a lower layer is a copy in its own layer, as after overlayfs's copy-up:
    # umoci, which lays all layers over each other in one directory, still has one inode there.
    for path in ("links/three", "links/four"):
        assert expected[path][-1] == (b"links/four", b"links/three")
        expected[path] = (*expected[path][:-1], ())
    assert found == expected
    assert len(found) == 35


def test_a_path_through_a_link_below_lands_where_the_link_points(room: Path) -> None:
    """As on a distribution where /lib became a link and a later layer still says lib/x."""
    layout = Layout(room / "oci")
    base = [
        directory("usr"),
        directory("usr/lib", mode=0o711, uid=3),
        symlink("lib", "usr/lib"),
        file("usr/lib/a", b"1"),
    ]
    top = [file("lib/b", b"2"), whiteout("lib/a"), directory("lib/sub"), file("lib/sub/c", b"3")]
    layout.image([tar(base), tar(top)], tag="links")
    expected = umoci_tree(layout, "links", room / "bundle")
    found = our_tree(layout, "links", room)
    assert found["lib"][4] == b"usr/lib"
    assert (
        sorted(found)
        == sorted(expected)
        == ["lib", "usr", "usr/lib", "usr/lib/b", "usr/lib/sub", "usr/lib/sub/c"]
    )
    assert found["usr/lib"][:3] == ("drwx--x--x", 3, 0)


def test_directories_that_a_layer_does_not_mention_keep_their_attributes(room: Path) -> None:
    layout = Layout(room / "oci")
    base = [
        directory("a", mode=0o1777, uid=5, gid=6, mtime=7),
        directory("a/b", mode=0o700, mtime=8),
        file("a/b/x"),
    ]
    top = [file("a/b/y"), hardlink("a/b/z", "a/b/x")]
    layout.image([tar(base), tar(top)], tag="implicit")
    found = our_tree(layout, "implicit", room)
    assert found["a"][:3] == ("drwxrwxrwt", 5, 6)
    assert (found["a"][6], found["a/b"][0], found["a/b"][6]) == (7_000_000_000, "drwx------", 8_000_000_000)
    assert found["a/b/z"][4] == found["a/b/x"][4]


def test_a_container_of_the_image_is_a_layer_that_umoci_understands(room: Path) -> None:
    """commit: what a container did to the nasty image, unpacked by umoci, is what the container saw."""
    layout = Layout(room / "oci")
    nasty(layout)
    subprocess.run(["tar", "-C", str(layout.path), "-cf", str(room / "l.tar"), "."], check=True)

    async def work(store: Overlay) -> tuple[Tree, bytes]:
        image = single(await store.load(stream((room / "l.tar").read_bytes())))
        rootfs = await store.prepare(image.id, "c")
        with mounted(rootfs, room / "root") as root:
            shutil.rmtree(root / "opq")
            (root / "opq").mkdir(mode=0o750)
            (root / "opq/new").write_bytes(b"in a directory that was made anew")
            (root / "etc/motd").unlink()
            (root / "empty").write_bytes(b"no more")
            (root / "links/again").hardlink_to(root / "empty")
            (root / "setuid").chmod(0o6711)
            (root / "kind/inside").unlink()
            seen = tree(root)
            made = await store.commit("c", image=image.id, reference="docker.io/test/made:1", message="test")
        assert made.layers[:-1] == image.layers
        assert made.config["history"][-1]["comment"] == "test"
        return seen, await collected(store.save(["docker.io/test/made:1"]))

    seen, archive = run_in(room / "store", work)
    made = Layout(room / "made")
    subprocess.run(["tar", "-C", str(made.path), "-xf", "-"], input=archive, check=True)
    expected = umoci_tree(made, "1", room / "bundle-made")
    whole_seconds = {path: (*e[:6], e[6] // 10**9, e[7]) for path, e in seen.items()}
    changed = {path: (*e[:6], e[6] // 10**9, e[7]) for path, e in expected.items()}
    for path in ("links/three", "links/four"):  # see above
        changed[path] = (*changed[path][:-1], ())
    assert whole_seconds == changed
