"""The index: which images there are, what they are made of, and what they are called.

SQLite in WAL mode. Every method is one transaction, synchronous (tens of microseconds) and called
from the event loop's thread alone: between a look and a write without an `await`, nothing changes.
The index is written last: what it names is on the disk; what it does not name is rubbish.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY, manifest TEXT NOT NULL, stored REAL NOT NULL, boot TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS image_layers (
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE, position INTEGER NOT NULL,
    chain TEXT NOT NULL, diff TEXT NOT NULL, blob TEXT NOT NULL,
    PRIMARY KEY (image, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tags (
    reference TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digests (
    reference TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images ON DELETE CASCADE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layers (
    number INTEGER PRIMARY KEY AUTOINCREMENT, chain TEXT NOT NULL UNIQUE, parent TEXT NOT NULL,
    diff TEXT NOT NULL, size INTEGER NOT NULL, opaque TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
    id TEXT PRIMARY KEY, image TEXT NOT NULL, chain TEXT NOT NULL, mode TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_layers_chain ON image_layers (chain);
CREATE INDEX IF NOT EXISTS image_layers_blob ON image_layers (blob);
CREATE INDEX IF NOT EXISTS tags_image ON tags (image);
CREATE INDEX IF NOT EXISTS digests_image ON digests (image);
"""
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """An unpacked layer; its directory is named by `number`. `parent` is "" for a base."""

    number: int
    chain: str
    parent: str
    diff: str
    size: int
    opaque: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLayer:
    """One layer of an image, base first."""

    chain: str
    diff: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """`id` is the config's digest. `boot` names the boot in which it was written, until the disk has
    it for certain (then "")."""

    id: str
    manifest: str
    stored: float
    boot: str
    layers: tuple[ImageLayer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRow:
    id: str
    image: str
    chain: str
    mode: str


class Index:
    """`path` of the database; ":memory:" for tests."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.executescript(_SCHEMA)
        self.set_meta("version", str(_VERSION))

    def close(self) -> None:
        self._db.close()

    def meta(self, key: str) -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set_meta(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # -- images ----------------------------------------------------------------------------------

    def put_images(self, images: Iterable[tuple[Image, Sequence[str], Sequence[str]]]) -> None:
        """(image, its new tags, its new NAME@DIGESTs), all or none. A tag in use moves."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for image, tags, digests in images:
                self._db.execute(
                    "INSERT INTO images VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (id) DO UPDATE SET manifest = excluded.manifest, boot = excluded.boot",
                    (image.id, image.manifest, image.stored, image.boot),
                )
                self._db.execute("DELETE FROM image_layers WHERE image = ?", (image.id,))
                self._db.executemany(
                    "INSERT INTO image_layers VALUES (?, ?, ?, ?, ?)",
                    [(image.id, n, x.chain, x.diff, x.blob) for n, x in enumerate(image.layers)],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO tags VALUES (?, ?)", [(tag, image.id) for tag in tags]
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO digests VALUES (?, ?)", [(name, image.id) for name in digests]
                )

    def image(self, image_id: str) -> Image | None:
        row = self._db.execute("SELECT * FROM images WHERE id = ?", (image_id,)).fetchone()
        return self._image(row) if row else None

    def images(self) -> list[Image]:
        """In the order they came, the newest first."""
        return [self._image(row) for row in self._db.execute("SELECT * FROM images ORDER BY stored DESC")]

    def _image(self, row: tuple[str, str, float, str]) -> Image:
        layers = self._db.execute(
            "SELECT chain, diff, blob FROM image_layers WHERE image = ? ORDER BY position", (row[0],)
        )
        made = tuple(ImageLayer(chain=chain, diff=diff, blob=blob) for chain, diff, blob in layers)
        return Image(id=row[0], manifest=row[1], stored=row[2], boot=row[3], layers=made)

    def ids_like(self, prefix: str) -> list[str]:
        """Image ids that begin so; at most two, which is one too many."""
        rows = self._db.execute(
            "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "~")
        )
        return [row[0] for row in rows]

    def delete_image(self, image_id: str) -> None:
        """The image and its names."""
        self._db.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def settle(self, image_ids: Iterable[str]) -> None:
        """The disk has these for certain."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE images SET boot = '' WHERE id = ?", [(i,) for i in image_ids])

    # -- names -----------------------------------------------------------------------------------

    def image_by_name(self, reference: str) -> str:
        """The id behind a tag or NAME@DIGEST, "" for none."""
        row = self._db.execute(
            "SELECT image FROM tags WHERE reference = ?1 UNION ALL"
            " SELECT image FROM digests WHERE reference = ?1",
            (reference,),
        ).fetchone()
        return str(row[0]) if row else ""

    def tags(self, image_id: str) -> tuple[str, ...]:
        return self._names("tags", image_id)

    def digests(self, image_id: str) -> tuple[str, ...]:
        return self._names("digests", image_id)

    def _names(self, table: str, image_id: str) -> tuple[str, ...]:
        rows = self._db.execute(
            f"SELECT reference FROM {table} WHERE image = ? ORDER BY reference",  # noqa: S608 - two words
            (image_id,),
        )
        return tuple(row[0] for row in rows)

    def tag(self, image_id: str, reference: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO tags VALUES (?, ?)", (reference, image_id))

    def add_digest(self, image_id: str, reference: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (reference, image_id))

    def untag(self, references: Iterable[str]) -> None:
        """Forget tags and NAME@DIGESTs."""
        names = [(name,) for name in references]
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM tags WHERE reference = ?", names)
            self._db.executemany("DELETE FROM digests WHERE reference = ?", names)

    # -- layers ----------------------------------------------------------------------------------

    def next_layer(self) -> int:
        """A number no layer ever had: a directory of that name is nobody's. Two layers under way at
        once get different ones because the number is taken here, not when the layer is done."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            number = int(self.meta("layer") or 0) + 1
            self.set_meta("layer", str(number))
        return number

    def put_layer(self, layer: Layer) -> None:
        self._db.execute(
            "INSERT INTO layers VALUES (?, ?, ?, ?, ?, ?)",
            (layer.number, layer.chain, layer.parent, layer.diff, layer.size, json.dumps(layer.opaque)),
        )

    def layer(self, chain: str) -> Layer | None:
        row = self._db.execute("SELECT * FROM layers WHERE chain = ?", (chain,)).fetchone()
        return _layer(row) if row else None

    def layers(self) -> list[Layer]:
        return [_layer(row) for row in self._db.execute("SELECT * FROM layers ORDER BY number")]

    def chain(self, chain: str) -> list[Layer]:
        """A layer and those below it, the topmost first. Shorter than it should be only where the
        index was damaged; "" gives none."""
        found = []
        while chain and (layer := self.layer(chain)):
            found.append(layer)
            chain = layer.parent
        return found

    def delete_layer(self, chain: str) -> None:
        self._db.execute("DELETE FROM layers WHERE chain = ?", (chain,))

    # -- containers ------------------------------------------------------------------------------

    def put_container(self, row: ContainerRow) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?)", (row.id, row.image, row.chain, row.mode)
        )

    def container(self, container_id: str) -> ContainerRow | None:
        row = self._db.execute("SELECT * FROM containers WHERE id = ?", (container_id,)).fetchone()
        return ContainerRow(id=row[0], image=row[1], chain=row[2], mode=row[3]) if row else None

    def containers(self) -> list[ContainerRow]:
        rows = self._db.execute("SELECT * FROM containers ORDER BY id")
        return [ContainerRow(id=r[0], image=r[1], chain=r[2], mode=r[3]) for r in rows]

    def delete_container(self, container_id: str) -> None:
        self._db.execute("DELETE FROM containers WHERE id = ?", (container_id,))

    # -- what is referred to -----------------------------------------------------------------------

    def used_chains(self) -> set[str]:
        """Layers of images and of containers, with all below them."""
        used = {row[0] for row in self._db.execute("SELECT DISTINCT chain FROM image_layers")}
        for (chain,) in self._db.execute("SELECT DISTINCT chain FROM containers").fetchall():
            used |= {layer.chain for layer in self.chain(chain)}
        return used

    def used_blobs(self) -> set[str]:
        """Configs, manifests and layer blobs of images."""
        rows = self._db.execute(
            "SELECT id FROM images UNION SELECT manifest FROM images UNION SELECT blob FROM image_layers"
        )
        return {row[0] for row in rows}


def new_image(image_id: str, manifest: str, layers: Sequence[ImageLayer], boot: str) -> Image:
    """An image as it is stored now."""
    return Image(id=image_id, manifest=manifest, stored=time.time(), boot=boot, layers=tuple(layers))


def _layer(row: tuple[int, str, str, str, int, str]) -> Layer:
    return Layer(
        number=row[0],
        chain=row[1],
        parent=row[2],
        diff=row[3],
        size=row[4],
        opaque=tuple(json.loads(row[5])),
    )
