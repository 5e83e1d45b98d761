"""secrets/age: what the contract promises, and what is on the disk."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from moby_components.secrets.age.component import Age
from moby_py.errors import AlreadyExists, DataError, InvalidArgument, MobyError, NotFound
from support.context import make_context

VALUE = b"correct horse battery staple"


def opened(root: Path, **options: object) -> Age:
    store = Age(make_context(Age, root, options=options))
    asyncio.run(store.open())
    return store


def test_a_value_comes_back_after_a_restart_and_is_nowhere_in_clear(tmp_path: Path) -> None:
    record = asyncio.run(opened(tmp_path).create("db_password", VALUE, labels={"tier": "db"}))
    again = opened(tmp_path)
    assert asyncio.run(again.reveal("db_password")) == VALUE
    assert asyncio.run(again.inspect(record.id[:8])) == record
    assert record.labels == {"tier": "db"}
    assert len(record.id) == 25
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or VALUE not in path.read_bytes(), path
    for path in (tmp_path / "state/secrets/age").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.skipif(shutil.which("age") is None, reason="needs the age program (apt-get install age)")
def test_the_age_program_opens_what_we_wrote(tmp_path: Path) -> None:
    opened_store = opened(tmp_path)
    record = asyncio.run(opened_store.create("key", VALUE))
    state = tmp_path / "state/secrets/age"
    out = subprocess.run(
        ["age", "-d", "-i", state / "identity.txt", state / "values" / f"{record.id}.1"],
        check=True,
        capture_output=True,
    )
    assert out.stdout == VALUE


def test_a_further_recipient_can_open_it_too(tmp_path: Path) -> None:
    from pyrage import decrypt, x25519

    operator = x25519.Identity.generate()
    store = opened(tmp_path, recipients=[str(operator.to_public())])
    record = asyncio.run(store.create("key", VALUE))
    sealed = (tmp_path / "state/secrets/age/values" / f"{record.id}.1").read_bytes()
    assert decrypt(sealed, [operator]) == VALUE


def test_update_makes_a_new_version_and_drops_the_old_bytes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    old = asyncio.run(store.create("key", VALUE))
    new = asyncio.run(store.update("key", value=b"new", labels={"a": "b"}))
    assert (new.version, new.id, new.created) == (2, old.id, old.created)
    assert asyncio.run(store.reveal("key")) == b"new"
    only_labels = asyncio.run(store.update("key", labels={}))
    assert only_labels.version == 3
    assert asyncio.run(store.reveal("key")) == b"new"
    assert [p.name for p in (tmp_path / "state/secrets/age/values").iterdir()] == [f"{old.id}.3"]


def test_remove_leaves_no_value_behind(tmp_path: Path) -> None:
    store = opened(tmp_path)
    asyncio.run(store.create("b", VALUE))
    asyncio.run(store.create("a", VALUE))
    assert [r.name for r in asyncio.run(store.list())] == ["a", "b"]
    asyncio.run(store.remove("a"))
    assert [r.name for r in asyncio.run(store.list())] == ["b"]
    assert len(list((tmp_path / "state/secrets/age/values").iterdir())) == 1
    with pytest.raises(NotFound, match=r"^secret a not found$"):
        asyncio.run(store.remove("a"))


def test_a_value_without_an_entry_is_swept_at_open(tmp_path: Path) -> None:
    opened(tmp_path)
    stray = tmp_path / "state/secrets/age/values" / "half-done.1"
    stray.write_bytes(b"x")
    opened(tmp_path)
    assert not stray.exists()


@pytest.mark.parametrize("name", ["", "-x", "x-", "a/b", "../x", "x" * 65, "a b", "ä"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    text = (
        f"invalid secret name {name!r} - 1 to 64 letters, digits, '-', '_' or '.', "
        "beginning and ending with a letter or digit"
    )
    with pytest.raises(InvalidArgument, match="^" + re.escape(text) + "$"):
        asyncio.run(opened(tmp_path).create(name, VALUE))


@pytest.mark.parametrize("size", [0, 500 * 1024 + 1])
def test_a_bad_size_is_refused(tmp_path: Path, size: int) -> None:
    text = rf"^invalid secret of {size} bytes - a secret has 1 to 512000 bytes$"
    with pytest.raises(InvalidArgument, match=text):
        asyncio.run(opened(tmp_path).create("x", b"x" * size))


def test_a_name_is_unique(tmp_path: Path) -> None:
    store = opened(tmp_path)
    asyncio.run(store.create("x", VALUE))
    with pytest.raises(AlreadyExists, match=r"^secret x already exists - names are unique$"):
        asyncio.run(store.create("x", VALUE))


def test_a_damaged_value_is_named_and_not_shown(tmp_path: Path) -> None:
    store = opened(tmp_path)
    record = asyncio.run(store.create("x", VALUE))
    (tmp_path / "state/secrets/age/values" / f"{record.id}.1").write_bytes(b"age-encryption.org/v1\nrot")
    text = "cannot open secret x - its file is damaged or encrypted to another identity"
    with pytest.raises(DataError, match=f"^{re.escape(text)}$"):
        asyncio.run(store.reveal("x"))


def test_an_identity_open_to_others_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text("AGE-SECRET-KEY-1...")
    key.chmod(0o644)
    text = f"refusing the age identity {key} - others can read it (mode 0644)"
    with pytest.raises(MobyError, match=f"^{re.escape(text)}$"):
        opened(tmp_path, identity=str(key))


def test_a_missing_or_useless_identity_is_named(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    with pytest.raises(MobyError, match=rf"^cannot open the age identity {key} - no such file$"):
        opened(tmp_path, identity=str(key))
    key.touch(mode=0o600)
    key.write_text("AGE-SECRET-KEY-1NONSENSE\n")
    text = f"the age identity {key} holds no usable key - expected a line AGE-SECRET-KEY-1..."
    with pytest.raises(MobyError, match=f"^{re.escape(text)}$") as caught:
        opened(tmp_path, identity=str(key))
    assert "NONSENSE" not in str(caught.value.__dict__)
