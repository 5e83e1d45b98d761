"""One server per test file: the real API over the doubles, in a thread."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.api_serving import Host, serving
from support.api_words import Words


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    folder = Path(tempfile.mkdtemp(prefix="mp-"))  # short: a unix socket's path is
    try:
        with serving(folder) as found:
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def words(host: Host) -> Words:
    out = host.home / "out"
    out.mkdir()
    (out / "platform.yaml").write_text("blueprint: 1\nname: r  # short\ncomponents: {}\n")
    return Words(host, out)
