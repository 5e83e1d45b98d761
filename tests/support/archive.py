"""The busybox image as a docker-archive file, as `docker save` writes it (by skopeo)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.images import Layout, busybox

BUSYBOX = "test/busybox:latest"


def busybox_archive(folder: Path, reference: str = BUSYBOX, config: Mapping[str, Any] | None = None) -> Path:
    """FOLDER/busybox.tar, loadable everywhere; the OCI layout it came from is FOLDER/oci:busybox."""
    layout = Layout(folder / "oci")
    busybox(layout, config=config)
    archive = folder / "busybox.tar"
    archive.unlink(missing_ok=True)
    subprocess.run(
        ["skopeo", "copy", "-q", f"oci:{layout.path}:busybox", f"docker-archive:{archive}:{reference}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return archive
