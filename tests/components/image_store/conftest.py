"""A store of its own for each test, and nothing mounted when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from moby_components.common.mounts import umount_all
from support.registry import hub, shared_hub

__all__ = ["hub", "room", "shared_hub"]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A directory for stores; whatever was mounted below is unmounted."""
    yield tmp_path
    umount_all(tmp_path)
