"""The platform's volume drivers by the words that clients use, and their errors in Docker's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from moby_py.component import Wiring
from moby_py.errors import MobyError, NotFound
from moby_py.kinds import VolumeDriver

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of volumes without a name of their own."""

USUAL = "local"
"""What clients say when their user said nothing."""


class Drivers:
    """A word is a component's id. Where none is called "local", that word means the first."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    @property
    def all(self) -> Mapping[str, VolumeDriver]:
        return self._wiring.all(VolumeDriver)

    def word(self, wanted: str) -> str:
        """The id of the driver that `wanted` means; it need not exist."""
        found = self.all
        if wanted in found or (wanted and wanted != USUAL) or not found:
            return wanted or USUAL
        return USUAL if USUAL in found else next(iter(found))

    def get(self, wanted: str) -> VolumeDriver:
        """Raises NotFound in Docker's words."""
        word = self.word(wanted)
        found = self.all.get(word)
        if found is None:
            raise NotFound(
                f'error looking up volume plugin {word}: plugin "{word}" not found',
                hint=f"this platform's volume components: {', '.join(self.all) or 'none'}",
            )
        return found

    def find(self, word: str) -> VolumeDriver | None:
        """The driver of a volume that exists; None where the blueprint no longer has it."""
        return self.all.get(word)


@contextmanager
def said_of(action: str, name: str) -> Iterator[None]:
    """Errors begin with what was done to which volume, as all of Docker's do."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
    try:
        yield
    except MobyError as error:
        raise type(error)(f"{action} {shown}: {error.message}", hint=error.hint) from error
