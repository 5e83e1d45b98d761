"""The test aids themselves: the registry is real, and the images are what skopeo and umoci take."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from support.images import Layout, nasty, platforms
from support.registry import Registry, registry


def test_push_and_inspect(hub: Registry, busybox_layout: Layout) -> None:
    reference = hub.push(busybox_layout.path, "shop/app:1", tag="busybox")
    assert reference == f"{hub.address}/shop/app:1"
    found = hub.inspect("shop/app:1")
    assert found["Architecture"] == "amd64"
    assert hub.blob(found["Layers"][0]).exists()


@pytest.mark.parametrize("how", ["gzip", "zstd", ""])
def test_the_nasty_image_unpacks(how: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    nasty(layout, "nasty", how)
    if how == "zstd":  # umoci 0.4.7 knows no zstd; skopeo copies it
        argv = [
            "skopeo",
            "copy",
            "--insecure-policy",
            f"oci:{layout.path}:nasty",
            f"oci:{tmp_path / 'copy'}:x",
        ]
        subprocess.run(argv, check=True, capture_output=True)
        return
    if os.geteuid() != 0:
        pytest.skip("needs root")
    argv = ["umoci", "raw", "unpack", "--image", f"{layout.path}:nasty", str(tmp_path / "root")]
    subprocess.run(argv, check=True, capture_output=True)
    root = tmp_path / "root"
    assert (root / "etc/motd").read_text() == "top\n"
    assert sorted(p.name for p in (root / "opq").iterdir()) == ["shown"]
    assert not (root / "etc/gone").exists()
    assert (root / "links/four").read_text() == "three names\n"
    assert stat.S_IMODE((root / "setuid").stat().st_mode) == 0o4755
    assert (root / "owned").stat().st_uid == 300_000
    assert os.getxattr(root / "capable", "security.capability")


def test_an_index_keeps_its_platforms(hub: Registry, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "oci")
    platforms(layout)
    hub.push(layout.path, "many:1", tag="many", every=True)
    hub.fetch("many:1", tmp_path / "back", every=True)
    assert len(list((tmp_path / "back/blobs/sha256").iterdir())) == len(
        list((tmp_path / "oci/blobs/sha256").iterdir())
    )


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("auth", ["basic", "token"])
def test_authentication(auth: str, tls: bool, busybox_layout: Layout) -> None:
    with registry(auth=auth, tls=tls) as hub:  # type: ignore[arg-type]
        hub.push(busybox_layout.path, "private/app:1", tag="busybox")
        hub.username, name = "", hub.username
        with pytest.raises(AssertionError, match=r"unauthorized|authentication required"):
            hub.inspect("private/app:1")
        hub.username = name
        assert hub.inspect("private/app:1")["Os"] == "linux"


def test_nothing_is_left() -> None:
    threads = threading.active_count()
    with registry(auth="token") as hub:
        pid, root = hub.process.pid, hub.root
    assert not root.exists()
    assert not Path(f"/proc/{pid}").exists()
    assert threading.active_count() == threads
