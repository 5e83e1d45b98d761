"""What handlers work on: the other components of the platform, found once, by kind."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from moby_py.component import Context, PlatformInfo, Wiring
from moby_py.errors import Unavailable
from moby_py.kinds import Engine, ImageStore, Secrets


@dataclass(frozen=True, slots=True)
class Backend:
    engine: Engine
    store: ImageStore
    platform: PlatformInfo
    log: logging.Logger
    wiring: Wiring

    @classmethod
    def of(cls, context: Context) -> Backend:
        wiring = context.wiring
        return cls(
            engine=wiring[Engine],
            store=wiring[ImageStore],
            platform=context.platform,
            log=context.log,
            wiring=wiring,
        )

    @property
    def secrets(self) -> Secrets:
        """Raises Unavailable where the blueprint names no secrets component."""
        for component in self.wiring.all(Secrets).values():
            return component
        raise Unavailable(
            "no secrets in this platform - its blueprint names no secrets component",
            hint="add `secrets: age` under components and build again",
        )
