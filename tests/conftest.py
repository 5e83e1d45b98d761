"""What holds for every test: skips are counted and said with their reason; nothing is left behind."""

from __future__ import annotations

import os

# Python before 3.11.5 can fail to parse a module while the garbage collector logs a traceback (cpython
# issue 106905): pytest's hypothesis plugin imports these at the end of a run, so that they come first.
import hypothesis.internal.observability
import hypothesis.strategies  # noqa: F401
import pytest

LONGEST = ("test_runtime_table.py", "test_crash.py", "test_third_party_runs.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The long files first: with several workers, nobody then waits for one that began last.
    items.sort(key=lambda item: (item.path.name not in LONGEST, "tests/blueprints/" not in item.nodeid))
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root"))
