"""The fixtures of the support package that these tests use."""

from support.images import busybox_layout
from support.registry import hub, shared_hub

__all__ = ["busybox_layout", "hub", "shared_hub"]
