"""The component: an index of names without values, and one age file per secret and version.

    STATE/identity.txt        the key, unless `identity` names another
    STATE/index.json          names, ids, labels, versions, times; never a value
    STATE/values/ID.VERSION   age v1, readable with `age -d -i identity.txt`

A change writes the new value first, then the index (temp, fsync, rename), then removes the old
value: killed anywhere, the index names only files that are whole; `open` sweeps the rest.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from moby_components.secrets.age.identity import load_or_make
from moby_py.errors import AlreadyExists, DataError, InvalidArgument, NotFound
from moby_py.kinds import Secrets
from moby_py.model import SecretRecord

if TYPE_CHECKING:
    from pyrage import x25519

NAME = re.compile(r"^[a-zA-Z0-9](?:[a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9])?$")
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


class Age(Secrets):
    """Secrets encrypted at rest with age (https://age-encryption.org/v1)."""

    name: ClassVar[str] = "age"
    summary: ClassVar[str] = "secrets in age-encrypted files, key made on first use"

    async def open(self) -> None:
        self._lock = asyncio.Lock()
        self._root = self.context.dirs.state
        self._values = self._root / "values"
        self._values.mkdir(mode=0o700, exist_ok=True)
        given = self.options.get("identity")
        self._identity: x25519.Identity = load_or_make(
            Path(given) if given else self._root / "identity.txt", make=not given
        )
        self._records = self._read_index()
        wanted = {self._value_name(r) for r in self._records.values()}
        for path in self._values.iterdir():
            if path.name not in wanted:
                path.unlink()

    async def create(
        self, name: str, value: bytes, *, labels: Mapping[str, str] | None = None
    ) -> SecretRecord:
        if not NAME.match(name):
            raise InvalidArgument(
                f"invalid secret name {name!r} - 1 to 64 letters, digits, '-', '_' or '.', "
                "beginning and ending with a letter or digit"
            )
        self._check_size(value)
        async with self._lock:
            if any(r.name == name for r in self._records.values()):
                raise AlreadyExists(
                    f"secret {name} already exists - names are unique", hint="remove it first, or update it"
                )
            now = _now()
            record = SecretRecord(
                id="".join(secrets.choice(ALPHABET) for _ in range(25)),
                name=name,
                created=now,
                updated=now,
                labels=dict(labels or {}),
            )
            self._write_value(record, value)
            self._write_index({**self._records, record.id: record})
            return record

    async def list(self) -> Sequence[SecretRecord]:
        return sorted(self._records.values(), key=lambda r: r.name)

    async def inspect(self, ref: str) -> SecretRecord:
        for record in self._records.values():
            if ref in (record.name, record.id):
                return record
        found = [r for r in self._records.values() if ref and r.id.startswith(ref)]
        if len(found) == 1:
            return found[0]
        raise NotFound(f"secret {ref} not found")

    async def update(
        self, ref: str, *, value: bytes | None = None, labels: Mapping[str, str] | None = None
    ) -> SecretRecord:
        if value is not None:
            self._check_size(value)
        async with self._lock:
            old = await self.inspect(ref)
            new = replace(
                old,
                version=old.version + 1,
                updated=_now(),
                labels=dict(labels) if labels is not None else old.labels,
            )
            self._write_value(new, self._read_value(old) if value is None else value)
            self._write_index({**self._records, new.id: new})
            (self._values / self._value_name(old)).unlink(missing_ok=True)
            return new

    async def remove(self, ref: str) -> None:
        async with self._lock:
            record = await self.inspect(ref)
            self._write_index({k: v for k, v in self._records.items() if k != record.id})
            (self._values / self._value_name(record)).unlink(missing_ok=True)

    async def reveal(self, ref: str) -> bytes:
        return self._read_value(await self.inspect(ref))

    def _check_size(self, value: bytes) -> None:
        if not 0 < len(value) <= self.MAX_SIZE:
            raise InvalidArgument(
                f"invalid secret of {len(value)} bytes - a secret has 1 to {self.MAX_SIZE} bytes"
            )

    @staticmethod
    def _value_name(record: SecretRecord) -> str:
        return f"{record.id}.{record.version}"

    def _write_value(self, record: SecretRecord, value: bytes) -> None:
        from pyrage import encrypt, x25519

        recipients = [self._identity.to_public()]
        recipients += [x25519.Recipient.from_str(text) for text in self.options.get("recipients", ())]
        _write(self._values / self._value_name(record), encrypt(value, recipients))

    def _read_value(self, record: SecretRecord) -> bytes:
        from pyrage import DecryptError, decrypt

        try:
            sealed = (self._values / self._value_name(record)).read_bytes()
            return bytes(decrypt(sealed, [self._identity]))
        except (OSError, DecryptError):
            raise DataError(
                f"cannot open secret {record.name} - its file is damaged or encrypted to another identity",
                hint=f"give the identity it was made with, or remove and create {record.name} again",
            ) from None

    def _read_index(self) -> dict[str, SecretRecord]:
        path = self._root / "index.json"
        try:
            items = json.loads(path.read_text(encoding="utf-8"))
            return {item["id"]: SecretRecord(**item) for item in items}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"cannot read the index of secrets {path} - {error}", hint="restore it from a backup"
            ) from error

    def _write_index(self, records: dict[str, SecretRecord]) -> None:
        text = json.dumps([asdict(r) for r in records.values()], indent=1)
        _write(self._root / "index.json", text.encode())
        self._records = records


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _write(path: Path, data: bytes) -> None:
    """The whole file or none: private temp, fsync, rename, fsync of the folder."""
    partial = path.with_name(f".{path.name}.new")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
