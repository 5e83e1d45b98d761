"""Real images without the internet, as OCI layouts on disk.

    layout = Layout(tmp_path / "oci")
    busybox(layout, "busybox")            # static busybox with its applets as links
    nasty(layout, "nasty", "zstd")        # all that a layer may hold, in three layers
    platforms(layout, "many")             # an index: amd64, arm64, arm v7, ...
    hub.push(layout.path, "shop/app:1", tag="busybox")

Fixture `busybox_layout`: one layout per session with the tag "busybox".
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support.layers import (
    device,
    directory,
    fifo,
    file,
    hardlink,
    opaque,
    symlink,
    tar,
    whiteout,
)

OCI = "application/vnd.oci.image"
MANIFEST, INDEX, CONFIG = f"{OCI}.manifest.v1+json", f"{OCI}.index.v1+json", f"{OCI}.config.v1+json"
CREATED = "2024-01-02T03:04:05Z"
BUSYBOX = Path("/bin/busybox")
Descriptor = dict[str, Any]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compress(data: bytes, how: str) -> tuple[bytes, str]:
    """(bytes, media type suffix) for how in "gzip", "zstd", "" (plain)."""
    if how == "gzip":
        return gzip.compress(data, 1, mtime=0), "+gzip"
    if how == "zstd":
        from backports import zstd

        return zstd.compress(data, 3), "+zstd"
    return data, ""


@dataclass(frozen=True)
class Layout:
    """An OCI image layout (image-spec, image-layout.md) that grows. Nothing is shared between two paths."""

    path: Path

    def __post_init__(self) -> None:
        (self.path / "blobs/sha256").mkdir(parents=True, exist_ok=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        if not (self.path / "index.json").exists():
            self._write_index([])

    def blob(self, data: bytes, media_type: str, **extra: Any) -> Descriptor:
        """Store `data`; its descriptor."""
        digest = digest_of(data)
        self.blob_path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **extra}

    def blob_path(self, digest: str) -> Path:
        return self.path / "blobs" / digest.replace(":", "/")

    def json(self, digest: str) -> dict[str, Any]:
        return dict(json.loads(self.blob_path(digest).read_bytes()))

    def image(
        self,
        layers: Iterable[bytes],
        config: Mapping[str, Any] | None = None,
        *,
        tag: str = "",
        how: str = "gzip",
        architecture: str = "amd64",
        os: str = "linux",
        variant: str = "",
    ) -> Descriptor:
        """An image of uncompressed layer tars; `config` is the runtime part (Cmd, Env, ...)."""
        descriptors, diff_ids, history = [], [], []
        for number, layer in enumerate(layers):
            data, suffix = compress(layer, how)
            descriptors.append(self.blob(data, f"{OCI}.layer.v1.tar{suffix}"))
            diff_ids.append(digest_of(layer))
            history.append({"created": CREATED, "created_by": f"test layer {number}"})
        body = {
            "created": CREATED,
            "architecture": architecture,
            "os": os,
            **({"variant": variant} if variant else {}),
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(json.dumps(body).encode(), CONFIG),
            "layers": descriptors,
        }
        found = self.blob(json.dumps(manifest).encode(), MANIFEST)
        self.tag(found, tag)
        return found

    def index(self, manifests: Sequence[Descriptor], *, tag: str = "") -> Descriptor:
        """An image index (manifest list) of `manifests`, each with its `platform`."""
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)}
        found = self.blob(json.dumps(body).encode(), INDEX)
        self.tag(found, tag)
        return found

    def tag(self, descriptor: Descriptor, tag: str) -> None:
        """Name a manifest; "" does nothing."""
        if not tag:
            return
        key = "org.opencontainers.image.ref.name"
        old = json.loads((self.path / "index.json").read_bytes())["manifests"]
        kept = [m for m in old if m["annotations"][key] != tag]
        self._write_index([*kept, {**descriptor, "annotations": {key: tag}}])

    def _write_index(self, manifests: list[Descriptor]) -> None:
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        (self.path / "index.json").write_text(json.dumps(body))


@cache
def busybox_tar() -> bytes:
    """A small root file system: /bin/busybox, every applet as a link to it, passwd, group, /tmp."""
    if not BUSYBOX.exists():
        pytest.skip("needs a static busybox (apt-get install busybox-static)")
    listed = subprocess.run([BUSYBOX, "--list-full"], capture_output=True, text=True, check=True).stdout
    applets = sorted(name for name in listed.split() if name != "bin/busybox")
    folders = "bin dev etc home proc root sbin sys tmp usr usr/bin usr/sbin var var/tmp"
    modes = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}
    return tar(
        [
            *(directory(name, mode=modes.get(name, 0o755)) for name in folders.split()),
            file("bin/busybox", BUSYBOX.read_bytes(), mode=0o755),
            *(symlink(name, "/bin/busybox") for name in applets),
            file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n"),
            file("etc/group", b"root:x:0:\nstaff:x:50:user\nuser:x:1000:\n"),
            file("etc/shadow", b"root:*:::::::\n", mode=0o640),
        ]
    )


BUSYBOX_CONFIG = {"Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}


def busybox(
    layout: Layout, tag: str = "busybox", how: str = "gzip", config: Mapping[str, Any] | None = None
) -> Descriptor:
    """One layer; `config` is laid over Cmd ["sh"] and Docker's PATH."""
    return layout.image([busybox_tar()], {**BUSYBOX_CONFIG, **(config or {})}, tag=tag, how=how)


def capability(permitted: int) -> bytes:
    """security.capability, VFS_CAP_REVISION_2 with the effective bit (linux/capability.h)."""
    return struct.pack("<5I", 0x02000001, permitted, 0, 0, 0)


def nasty_layers() -> list[bytes]:
    """Three layers that use everything the layer format has."""
    long = "long/" + "d" * 120 + "/" + "é" * 60 + "/" + "n" * 200
    base = [
        *(directory(name) for name in ("etc", "data", "data/old", "opq", "opq/deep", "links", "dev", "long")),
        file("etc/motd", b"base\n"),
        file("etc/gone", b"removed by the next layer\n"),
        file("data/old/a", b"a" * 5000),
        file("data/old/b", b"b"),
        file("opq/hidden", b"hidden by an opaque directory"),
        file("opq/deep/hidden", b"too"),
        file("kind", b"a file that becomes a directory"),
        directory("tree"),
        file("tree/leaf", b"a directory that becomes a file"),
        file("links/one", b"three names\n", mode=0o600, uid=1234, gid=4321),
        hardlink("links/two", "links/one"),
        hardlink("links/three", "links/one"),
        symlink("links/absolute", "/etc/motd"),
        symlink("links/dangling", "../../../../nowhere"),
        symlink("links/folder", "../data"),
        directory(long.rpartition("/")[0].rpartition("/")[0]),
        directory(long.rpartition("/")[0]),
        file(long, b"long name"),
        file("sp ace\tand\nnewline", b"odd name"),
        file("bytes-\udcff\udcfe", b"a name that is not UTF-8"),
    ]
    middle = [
        whiteout("etc/gone"),
        whiteout("data/old"),
        directory("opq"),
        opaque("opq"),
        file("opq/shown", b"shown"),
        whiteout("kind"),
        directory("kind"),
        file("kind/inside", b"now a directory"),
        file("tree", b"now a file"),
        device("dev/null", 1, 3, mode=0o666),
        device("dev/loop", 7, 0, block=True, mode=0o660, gid=6),
        fifo("dev/pipe", mode=0o620, uid=5),
        file("setuid", b"#!", mode=0o4755),
        file("setgid", b"#!", mode=0o2755, gid=42),
        directory("sticky", mode=0o1777),
        file("owned", b"high ids", uid=300_000, gid=65_533, mtime=1),
        file(
            "capable",
            b"#!",
            mode=0o755,
            xattrs={"security.capability": capability(1 << 10), "user.note": b"hello"},
        ),
        directory("closed", mode=0o000),
        file("closed/inside", b"in a directory without permissions"),
        file("empty"),
    ]
    top = [
        file("etc/motd", b"top\n", mode=0o400),
        directory("data/old", uid=7),
        file("data/old/c", b"a new directory under an old name"),
        whiteout("links/two"),
        hardlink("links/four", "links/one"),
        file("links/one", b"replaced: four keeps the old bytes\n"),
        whiteout("never-was"),
    ]
    return [tar(base), tar(middle), tar(top)]


def nasty(layout: Layout, tag: str = "nasty", how: str = "gzip") -> Descriptor:
    """The image of `nasty_layers`. It cannot run; it is for unpacking and comparing."""
    return layout.image(nasty_layers(), {"Cmd": ["/setuid"]}, tag=tag, how=how)


PLATFORMS = (
    ("linux", "amd64", ""),
    ("linux", "arm64", "v8"),
    ("linux", "arm", "v6"),
    ("linux", "arm", "v7"),
    ("linux", "s390x", ""),
    ("windows", "amd64", ""),
)


def platforms(layout: Layout, tag: str = "many") -> Descriptor:
    """An index of tiny images, one per `PLATFORMS`; /platform in each says which. It also holds an
    attestation manifest (unknown/unknown), as buildkit writes them."""
    found = []
    for os, architecture, variant in PLATFORMS:
        name = "/".join(filter(None, (os, architecture, variant)))
        image = layout.image(
            [tar([file("platform", name.encode())])],
            {"Cmd": ["/platform"]},
            os=os,
            architecture=architecture,
            variant=variant,
        )
        platform = {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
        found.append({**image, "platform": platform})
    attestation = layout.image([tar([file("attestation", b"{}")])], os="unknown", architecture="unknown")
    found.append({**attestation, "platform": {"os": "unknown", "architecture": "unknown"}})
    return layout.index(found, tag=tag)


@pytest.fixture(scope="session")
def busybox_layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("images") / "oci")
    busybox(layout)
    return layout
