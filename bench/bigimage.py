"""A big image as OCI layout: 700 MB, 48,000 files, three gzip layers, made once per machine.

The content is a mix: text-like lines, repeated binary blocks and random bytes, so that it packs to
about a third, as /usr of a distribution does.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

CACHE = Path("/var/tmp/moby-py-bench/big-image")
FILES, LAYERS, BYTES = 48_000, 3, 700 << 20


def layout() -> Path:
    """The OCI layout directory (tag `latest`); made on first use."""
    if (CACHE / "index.json").exists():
        return CACHE
    blobs = CACHE / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    source = random.Random(20261124)
    noise = source.randbytes(8 << 20)
    letters = "etaoinshrdlu"
    words = ["".join(source.choices(letters, k=source.randrange(2, 11))) for _ in range(2500)]
    text = " ".join(words[int(source.paretovariate(0.7)) % 2500] for _ in range(1_400_000)).encode()
    layers, diff_ids = [], []
    for number in range(LAYERS):
        digest, diff_id, size = _layer(blobs, number, source, noise, text)
        layers.append(
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size}
        )
        diff_ids.append(diff_id)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(blobs, config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers,
    }
    entry = _blob(blobs, manifest, "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (CACHE / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (CACHE / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return CACHE


def _blob(blobs: Path, value: object, media_type: str) -> dict[str, object]:
    data = json.dumps(value).encode()
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _layer(
    blobs: Path, number: int, source: random.Random, noise: bytes, text: bytes
) -> tuple[str, str, int]:
    partial = blobs / f"layer-{number}.partial"
    plain = hashlib.sha256()

    class Both(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            plain.update(data)
            packed.write(data)
            return len(data)

    count, average = FILES // LAYERS, BYTES // FILES
    with gzip.open(partial, "wb", compresslevel=6) as packed, tarfile.open(fileobj=Both(), mode="w|") as tar:
        for n in range(count):
            if n % 200 == 0:
                folder = tarfile.TarInfo(f"usr/share/l{number}/d{n // 200}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            size = min(int(source.expovariate(1 / average)), 4 << 20)
            pool = noise if source.random() < 0.14 else text
            at = source.randrange(max(1, len(pool) - size))
            info = tarfile.TarInfo(f"usr/share/l{number}/d{n // 200}/file-{n}")
            info.size, info.mode, info.mtime = size, 0o644, 1_700_000_000 + n
            tar.addfile(info, io.BytesIO(pool[at : at + size]))
    data = hashlib.sha256(partial.read_bytes()).hexdigest()
    partial.rename(blobs / data)
    return f"sha256:{data}", f"sha256:{plain.hexdigest()}", (blobs / data).stat().st_size
