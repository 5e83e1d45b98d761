"""Volumes: the engine's records of them, and the drivers that keep their data."""

from moby_components.engine.moby.volumes.registry import Volumes

__all__ = ["Volumes"]
