"""What every `secrets` component promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from moby_py.errors import AlreadyExists, InvalidArgument, NotFound
from moby_py.kinds import Secrets
from moby_py.testing.contracts.component import ComponentContract, with_defaults
from moby_py.testing.room import make_context

VALUE = b"kit \x00\xff value, not text"


class SecretsContract(ComponentContract):
    """Override `options` where the component needs some."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def reopen(self, tmp_path: Path, options: dict[str, Any]) -> Callable[[], Secrets]:
        """A component opened on the same directories, as after a daemon's restart."""

        def make() -> Secrets:
            cls = self.component_class
            component = cls(make_context(cls, tmp_path, options=with_defaults(cls, options)))
            assert isinstance(component, Secrets)
            asyncio.run(component.open())
            return component

        return make

    @pytest.fixture
    def secrets(self, reopen: Callable[[], Secrets]) -> Iterator[Secrets]:
        component = reopen()
        yield component
        asyncio.run(component.close())

    def test_a_value_comes_back_byte_for_byte(self, secrets: Secrets) -> None:
        asyncio.run(secrets.create("kit", VALUE))
        assert asyncio.run(secrets.reveal("kit")) == VALUE

    def test_it_survives_a_restart(self, secrets: Secrets, reopen: Callable[[], Secrets]) -> None:
        record = asyncio.run(secrets.create("kit", VALUE, labels={"a": "b"}))
        asyncio.run(secrets.close())
        again = reopen()
        assert asyncio.run(again.inspect(record.id)) == record
        assert asyncio.run(again.reveal("kit")) == VALUE

    def test_no_record_shows_the_value(self, secrets: Secrets) -> None:
        record = asyncio.run(secrets.create("kit", b"visible-if-leaked"))
        shown = repr(
            [record, asyncio.run(secrets.inspect("kit")), asyncio.run(secrets.list()), vars(secrets)]
        )
        assert "visible-if-leaked" not in shown

    def test_no_file_holds_the_value_in_clear(self, secrets: Secrets, tmp_path: Path) -> None:
        asyncio.run(secrets.create("kit", b"visible-if-leaked"))
        held = [p for p in tmp_path.rglob("*") if p.is_file() and b"visible-if-leaked" in p.read_bytes()]
        assert held == []

    def test_a_name_is_taken_once(self, secrets: Secrets) -> None:
        asyncio.run(secrets.create("kit", VALUE))
        with pytest.raises(AlreadyExists):
            asyncio.run(secrets.create("kit", VALUE))

    def test_names_that_climb_are_refused(self, secrets: Secrets) -> None:
        for name in ("../kit", "a/b", ""):
            with pytest.raises(InvalidArgument):
                asyncio.run(secrets.create(name, VALUE))

    def test_a_value_too_large_is_refused(self, secrets: Secrets) -> None:
        with pytest.raises(InvalidArgument):
            asyncio.run(secrets.create("kit", b"x" * (Secrets.MAX_SIZE + 1)))

    def test_update_gives_a_new_version(self, secrets: Secrets) -> None:
        old = asyncio.run(secrets.create("kit", VALUE))
        new = asyncio.run(secrets.update("kit", value=b"second"))
        assert (new.id, new.version > old.version) == (old.id, True)
        assert asyncio.run(secrets.reveal(old.id)) == b"second"

    def test_remove_forgets_it(self, secrets: Secrets) -> None:
        asyncio.run(secrets.create("kit", VALUE))
        asyncio.run(secrets.remove("kit"))
        assert asyncio.run(secrets.list()) == []
        for method in (secrets.inspect, secrets.reveal, secrets.remove):
            with pytest.raises(NotFound):
                asyncio.run(method("kit"))
