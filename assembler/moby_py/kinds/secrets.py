"""The `secrets` kind: keeps values that only a container's process may see.

The engine alone calls `reveal`, writes the bytes to a tmpfs of the container's own and drops
them. A component keeps values encrypted at rest (or in a service of their own) and never puts one
into argv, environment, logs, an exception, or a file outside its encrypted store.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from moby_py.component import Component
from moby_py.model import SecretRecord


class Secrets(Component):
    """`ref` is a name, an id, or an unambiguous id prefix. Values are at most 500 KiB (Docker's)."""

    kind = "secrets"
    MAX_SIZE = 500 * 1024

    @abstractmethod
    async def create(
        self, name: str, value: bytes, *, labels: Mapping[str, str] | None = None
    ) -> SecretRecord:
        """Raises AlreadyExists, InvalidArgument (name, size)."""

    @abstractmethod
    async def list(self) -> Sequence[SecretRecord]:
        """All, by name."""

    @abstractmethod
    async def inspect(self, ref: str) -> SecretRecord:
        """Raises NotFound "secret REF not found"."""

    @abstractmethod
    async def update(
        self, ref: str, *, value: bytes | None = None, labels: Mapping[str, str] | None = None
    ) -> SecretRecord:
        """A new version; containers see it at their next start."""

    @abstractmethod
    async def remove(self, ref: str) -> None:
        """Raises NotFound."""

    @abstractmethod
    async def reveal(self, ref: str) -> bytes:
        """The value, for delivery. Raises NotFound, DataError (store damaged or wrong key)."""
