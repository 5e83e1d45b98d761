"""The room for one component under test is the one that plugin authors get."""

from moby_py.testing.room import QuietHooks, make_context

__all__ = ["QuietHooks", "make_context"]
