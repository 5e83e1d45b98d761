"""Tar entries of a layer -> files in an empty directory, and what the layers below must be told.

What hides or changes files of other layers is only recorded here (`Facts`), so that the layers of an
image unpack at the same time.
"""

from __future__ import annotations

import os
from pathlib import Path

from moby_components.common.tree.dirs import OPEN_DIR, DirTree
from moby_components.common.tree.extract import Extractor, Rules, failed, link
from moby_components.common.tree.header import TarReader
from moby_components.common.tree.limits import Limits
from moby_components.common.tree.names import AUFS, OPAQUE, WHITEOUT, show
from moby_components.common.tree.source import Source
from moby_components.image_store.overlay.unpack.facts import Facts
from moby_components.image_store.overlay.unpack.inflate import Inflater
from moby_py.errors import DataError, MobyError

__all__ = ["failed", "link", "unpack"]


def unpack(blob: Path, target: Path, *, limits: Limits, what: str, rootless: bool = False) -> Facts:
    """Unpack one layer blob into the empty directory `target`.

    `rootless`: owners that this user namespace does not map, device nodes and attributes that it
    may not set are left out and counted in the notes. Raises DataError for a layer that is not
    what it should be, Unavailable when the disk is full; the caller throws `target` away then.
    """
    with blob.open("rb", buffering=0) as raw:
        inflater = Inflater(raw, limits, what)
        try:
            source = Source(inflater, what)
            with DirTree(os.open(target, OPEN_DIR), what) as tree:
                rules = Rules(
                    what=what, unit="layer", lenient=rootless, devices="skip" if rootless else "refuse"
                )
                extractor = _Layer(tree, rules)
                extractor.run(TarReader(source, limits))
            source.drain()
        except MobyError:
            raise
        except OSError as error:
            raise failed(what, error) from error
        finally:
            inflater.close()
        extractor.facts.diff_id = inflater.digest
        extractor.facts.size, extractor.facts.entries = extractor.size, extractor.entries
        extractor.facts.notes = extractor.notes
        return extractor.facts


class _Layer(Extractor):
    def __init__(self, tree: DirTree, rules: Rules) -> None:
        super().__init__(tree, rules)
        self.facts = Facts()

    def run(self, reader: TarReader) -> None:
        super().run(reader)
        if b"" not in self._directories:
            self.facts.implicit.insert(0, b"")

    def marks(self, path: bytes) -> bool:
        name = path.rpartition(b"/")[2]
        if not name.startswith(WHITEOUT):
            return False
        self._whiteout(path, name)
        return True

    def unknown_link(self, path: bytes, target: bytes) -> None:
        self.facts.links.append((path, target))

    def implied(self, path: bytes) -> None:
        """Its attributes come from the layers below."""
        self.facts.implicit.append(path)

    def _whiteout(self, path: bytes, name: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        if name == OPAQUE:
            self.tree.directory(parent, create=True)
            self.facts.opaque.append(parent)
        elif not name.startswith(AUFS):
            hidden = name[len(WHITEOUT) :]
            if hidden in (b"", b".", b".."):
                raise DataError(f"cannot unpack {self.what} - {show(path)} points out of the layer")
            self.tree.directory(parent, create=True)
            self.facts.whiteouts.append(parent + b"/" + hidden if parent else hidden)
