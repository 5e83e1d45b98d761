"""The tables of one world, kept in step with what is wanted.

A change that the kernel refuses - somebody flushed the ruleset - is answered by loading them whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from moby_components.common.bridging import rules
from moby_components.common.bridging.rules import Element
from moby_components.common.nft import Nft, NftError


class Ruleset:
    """`wanted` lists all elements that there should be. Used in the world's thread."""

    def __init__(
        self, table: str, tag: str, wanted: Callable[[], Iterable[Element]], log: logging.Logger
    ) -> None:
        self.loaded = False
        """Whether the tables are known to be ours as they are wanted."""
        self._table = table
        self._tag = tag
        self._wanted = wanted
        self._log = log

    def change(self, nft: Nft, *, add: Sequence[Element] = (), remove: Sequence[Element] = ()) -> None:
        """One transaction. Raises NftError where even the whole set cannot be loaded."""
        script = rules.removed(self._table, remove) + rules.added(self._table, add)
        if not script:
            return
        try:
            nft.run(script)
        except NftError as error:
            self._log.info("loading all rules anew, a change was refused: %s", error)
            self.load(nft, add)

    def load(self, nft: Nft, more: Sequence[Element] = ()) -> None:
        """All of it at once, in place of whatever was there."""
        nft.run(rules.whole(self._table, self._tag, dict.fromkeys((*self._wanted(), *more))))
        self.loaded = True

    def mend(self, nft: Nft) -> None:
        """Load it again where somebody removed it."""
        if not self.loaded:
            return
        try:
            for family, witness in rules.WITNESS.items():
                nft.run(f"list set {family} {self._table} {witness}")
        except NftError:
            self._log.warning("somebody removed the rules of this platform; loading them again")
            self.load(nft)

    def drop(self, nft: Nft) -> None:
        nft.run(rules.gone(self._table))
        self.loaded = False
