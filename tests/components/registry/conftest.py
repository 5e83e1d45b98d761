"""What the tests of the registry client share."""

from __future__ import annotations

from pathlib import Path

import pytest

from moby_components.image_store.overlay.registry_client import RegistryOptions
from support.images import busybox_layout
from support.registry import hub, shared_hub

__all__ = ["busybox_layout", "hub", "options", "shared_hub"]


@pytest.fixture
def options(tmp_path: Path) -> RegistryOptions:
    """Impatient, and blind to this machine's config.json and certificates."""
    return RegistryOptions(
        docker_config=tmp_path / "docker/config.json",
        certificates=(tmp_path / "certs",),
        connect_timeout=3,
        answer_timeout=0.5,
        stall=0.5,
        min_rate=100_000,
        retries=1,
        backoff=0.01,
        use_proxies=False,
    )
