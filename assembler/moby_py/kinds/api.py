"""The `api` kind: a front end on the engine. Any number of them in one platform."""

from __future__ import annotations

from abc import abstractmethod

from moby_py.component import Component


class Api(Component):
    """`open` opens its sockets and returns when they answer; `close` closes them."""

    kind = "api"

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """Where it listens, as DOCKER_HOST spells it: unix:///run/moby-py/NAME/docker.sock"""
