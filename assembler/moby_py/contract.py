"""Does a class keep its kind's contract? Asked once, when a component is loaded.

Python tells of a missing method only when the class is constructed, and of a wrong signature only
when the method is called: too late for a platform that already runs. `violations` says both from
the class alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from inspect import Parameter, Signature
from typing import Any

from moby_py.component import Component


def violations(cls: type[Component], contract: type[Component]) -> list[str]:
    """What is wrong with `cls` as a `contract`, one clause each; empty when nothing is."""
    found = []
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    if missing:
        word = "method is" if len(missing) == 1 else "methods are"
        found.append(f"{word} not written: {', '.join(missing)}")
    for name, asked in _promises(contract):
        given = inspect.getattr_static(cls, name, None)
        if given is asked or name in missing:
            continue
        clause = _differs(name, given, asked)
        if clause:
            found.append(clause)
    return found


def _promises(contract: type[Component]) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the contract and its bases up to Component name."""
    seen: set[str] = set()
    for base in contract.__mro__:
        if not issubclass(base, Component):
            continue
        for name, value in vars(base).items():
            is_method = inspect.isfunction(value) or isinstance(value, classmethod | staticmethod | property)
            if is_method and not name.startswith("_") and name not in seen:
                seen.add(name)
                yield name, value


def _differs(name: str, given: Any, asked: Any) -> str:
    if isinstance(asked, property):
        if inspect.isfunction(given):
            return f"{name} is a method, the contract wants a property"
        return ""
    if isinstance(asked, classmethod) and not isinstance(given, classmethod):
        return f"{name} is not a classmethod, the contract wants one"
    asked_function = _function(asked)
    given_function = _function(given)
    if not callable(given_function):
        return f"{name} is {type(given).__name__}, the contract wants a method"
    wants_coroutine = inspect.iscoroutinefunction(asked_function)
    if wants_coroutine != inspect.iscoroutinefunction(given_function):
        word = "async def" if wants_coroutine else "def"
        return f"{name} is not written with '{word}', as the contract says"
    try:
        ours, theirs = inspect.signature(asked_function), inspect.signature(given_function)
    except (TypeError, ValueError):
        return ""
    if accepts(theirs, ours):
        return ""
    return f"method {name} does not fit: it is {name}{theirs}, the contract is {name}{ours}"


def _function(value: Any) -> Callable[..., Any]:
    inner: Callable[..., Any] = inspect.unwrap(
        value.__func__ if isinstance(value, classmethod | staticmethod) else value
    )
    return inner


VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def accepts(given: Signature, asked: Signature) -> bool:
    """True when every call that `asked` allows is one that `given` takes. The first parameter of
    both is `self` (or `cls`), whatever its name."""
    takes = list(given.parameters.values())
    wants = list(asked.parameters.values())
    if not takes:
        return False
    variadic = {p.kind for p in takes if p.kind in VARIADIC}
    places = {p.name: (index, p) for index, p in enumerate(takes)}
    for index, wanted in enumerate(wants[1:], start=1):
        if wanted.kind in VARIADIC:
            if wanted.kind not in variadic:
                return False
            continue
        by_place = wanted.kind is Parameter.POSITIONAL_OR_KEYWORD
        if wanted.name not in places:
            needed = set(VARIADIC) if by_place else {Parameter.VAR_KEYWORD}
            if not needed <= variadic:
                return False
            continue
        place, parameter = places[wanted.name]
        if parameter.kind not in BY_NAME or (
            by_place and (place != index or parameter.kind is not Parameter.POSITIONAL_OR_KEYWORD)
        ):
            return False
        if wanted.default is not Parameter.empty and parameter.default is Parameter.empty:
            return False
    known = {p.name for p in wants}
    return all(
        p.kind in VARIADIC or p.default is not Parameter.empty or p.name in known
        for index, p in enumerate(takes)
        if index > 0
    )
