"""The one exception a `container_spec` hook raises on purpose."""

from moby_py.errors import PermissionDenied


class Veto(PermissionDenied):
    """This container must not run; the message says why."""
