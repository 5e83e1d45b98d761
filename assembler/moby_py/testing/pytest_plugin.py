"""Fixtures for component authors (a pytest plugin by entry point; importing it starts nothing)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from moby_py.component import Component, Context


@pytest.fixture
def component_context(tmp_path: Path) -> Callable[..., Context]:
    """`component_context(cls, options={...})`: a context with real, private directories."""
    from moby_py.testing.room import make_context

    def make(cls: type[Component], **kwargs: Any) -> Context:
        return make_context(cls, tmp_path, **kwargs)

    return make
