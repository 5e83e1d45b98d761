"""A class is held against its kind's contract before anything of it runs."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from moby_py.component import Component
from moby_py.contract import accepts, violations


class Contract(Component):
    kind = "thing"

    @property
    @abstractmethod
    def endpoint(self) -> str: ...

    @abstractmethod
    async def keep(self, name: str, value: bytes, *, labels: Mapping[str, str] | None = None) -> str: ...

    @abstractmethod
    def lines(self, ref: str) -> AsyncIterator[str]: ...


class Good(Contract):
    name = "good"

    @property
    def endpoint(self) -> str:
        return ""

    async def keep(
        self, name: str, value: bytes, *, labels: Mapping[str, str] | None = None, extra: int = 0
    ) -> str:
        return name

    async def lines(self, ref: str) -> AsyncIterator[str]:
        yield ref


def test_a_class_that_keeps_the_contract_has_no_violations() -> None:
    assert violations(Good, Contract) == []


def test_missing_methods_are_all_named() -> None:
    class Bare(Contract):
        name = "bare"

    assert violations(Bare, Contract) == ["methods are not written: endpoint, keep, lines"]


def test_one_missing_method_is_singular() -> None:
    class Partly(Good):
        keep = Contract.keep

    assert violations(Partly, Contract) == ["method is not written: keep"]


def test_a_wrong_signature_is_told_with_both() -> None:
    class Wrong(Good):
        async def keep(self, name: str, value: bytes) -> str:  # type: ignore[override]
            return name

    assert violations(Wrong, Contract) == [
        "method keep does not fit: it is keep(self, name: 'str', value: 'bytes') -> 'str', the contract is "
        "keep(self, name: 'str', value: 'bytes', *, labels: 'Mapping[str, str] | None' = None) -> 'str'"
    ]


def test_def_where_async_def_belongs() -> None:
    class Sync(Good):
        def keep(self, name: str, value: bytes, *, labels: Mapping[str, str] | None = None) -> str:  # type: ignore[override]
            return name

        async def lines(self, ref: str) -> list[str]:  # type: ignore[override]
            return []

    assert violations(Sync, Contract) == [
        "keep is not written with 'async def', as the contract says",
        "lines is not written with 'def', as the contract says",
    ]


def test_a_method_where_a_property_belongs_and_the_other_way_round() -> None:
    class Swapped(Good):
        def endpoint(self) -> str:  # type: ignore[override]
            return ""

        keep = "a string"  # type: ignore[assignment]

    assert violations(Swapped, Contract) == [
        "endpoint is a method, the contract wants a property",
        "keep is str, the contract wants a method",
    ]


def test_methods_of_every_component_count_too() -> None:
    class NoClassmethod(Good):
        def needs_for(self, options: Mapping[str, Any]) -> tuple[()]:  # type: ignore[override]
            return ()

    assert violations(NoClassmethod, Contract) == ["needs_for is not a classmethod, the contract wants one"]


def asked(self: object, a: int, b: int = 0, *, key: str = "") -> None: ...


FITS: list[Callable[..., Any]] = [
    lambda self, a, b=1, *, key="": None,
    lambda me, a, b=1, key="": None,
    lambda self, a, b=1, *, key="", more=1: None,
    lambda self, *args, **kwargs: None,
    lambda self, a, b=1, *args, **kwargs: None,
]
DOES_NOT: list[Callable[..., Any]] = [
    lambda self, a: None,
    lambda self, b=1, a=2, *, key="": None,
    lambda self, a, b, *, key="": None,
    lambda self, a, b=1, *, key: None,
    lambda self, a, b=1, *, word="": None,
    lambda self, a, b=1, *, key="", more: None,
    lambda self, a, b=1, more=1, *args: None,
    lambda self, x, b=1, *, key="": None,
    lambda self, a, /, b=1, *, key="": None,
    lambda **kwargs: None,
    lambda: None,
]


@pytest.mark.parametrize("given", FITS)
def test_signatures_that_take_every_call_fit(given: Callable[..., Any]) -> None:
    assert accepts(inspect.signature(given), inspect.signature(asked))


@pytest.mark.parametrize("given", DOES_NOT)
def test_signatures_that_refuse_some_call_do_not(given: Callable[..., Any]) -> None:
    assert not accepts(inspect.signature(given), inspect.signature(asked))
