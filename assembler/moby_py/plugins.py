"""Loads plugin modules through pluggy: one at a time, each named when it is broken.

One `PluginHost` belongs to one registry; nothing here is global. A module is imported and registered
once, however many entry points name it. What fails to register is taken out again, so that it does
not disturb the next one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pluggy
from pluggy import HookImpl

from moby_py import hookspecs
from moby_py.component import Component
from moby_py.contract import violations
from moby_py.errors import MobyError, PluginError, Unavailable
from moby_py.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Plugin:
    """One loaded module. `origin` is who brings it ("moby-py-acme 0.1"), for messages."""

    module_name: str
    origin: str
    module: ModuleType
    classes: tuple[type[Component], ...] = field(default=())

    def component(self, kind: str, name: str) -> type[Component]:
        """Its component KIND.NAME, checked against the kind's contract. Raises PluginError."""
        who = f"{kind}.{name}"
        for cls in self.classes:
            if (cls.kind, cls.name) == (kind, name):
                break
        else:
            brings = ", ".join(f"{cls.kind}.{cls.name}" for cls in self.classes) or "nothing"
            raise PluginError(
                f"{who}: {self.module_name} (from {self.origin}) brings {brings} - "
                "the entry point is named otherwise",
                hint="give the entry point the name KIND.NAME of its class",
            )
        contract = KINDS.get(kind, Component)
        if not issubclass(cls, contract):
            raise PluginError(
                f"{who}: {cls.__qualname__} (from {self.origin}) is no {kind} - "
                f"it does not subclass {contract.__module__}.{contract.__qualname__}"
            )
        wrong = violations(cls, contract)
        if wrong:
            raise PluginError(
                f"{who}: {cls.__qualname__} (from {self.origin}) breaks the {kind} contract - "
                + "; ".join(wrong)
            )
        return cls


class PluginHost:
    """Holds the loaded plugins and finds their hook implementations."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._plugins: dict[str, Plugin] = {}
        self._failed: dict[str, tuple[type[MobyError], str, str | None]] = {}

    def load(self, module_name: str, who: str, origin: str) -> Plugin:
        """Import and register one module. Raises PluginError, or Unavailable if its import says so.

        A failure is remembered: the module is not imported a second time.
        """
        if module_name in self._plugins:
            return self._plugins[module_name]
        if module_name not in self._failed:
            try:
                module = _import(module_name, f"{module_name} (from {origin})")
                return self._register(module, module_name, origin)
            except (PluginError, Unavailable) as error:
                self._failed[module_name] = (type(error), error.message, error.hint)
        kind, message, hint = self._failed[module_name]
        raise kind(f"{who}: {message}", hint=hint)

    def load_file(self, file: Path) -> Plugin:
        """Load a plugin that is one file. Raises PluginError."""
        module_name = f"moby_py_plugin_{file.stem.replace('-', '_').replace('.', '_')}"
        known = self._plugins.get(module_name)
        if known is not None:
            if known.origin == str(file):
                return known
            raise PluginError(
                f"{file}: a plugin file of that name is loaded already - from {known.origin}",
                hint="rename one of the two",
            )
        try:
            return self._register(_import_file(file, module_name), module_name, str(file))
        except (PluginError, Unavailable) as error:
            raise PluginError(f"{file}: {error.message}", hint=error.hint) from error

    def implementations(self, hook: str) -> list[tuple[Plugin, HookImpl]]:
        """Who implements a hook, in pluggy's calling order."""
        found = []
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            found.append((self._plugins[implementation.plugin_name], implementation))
        return found

    def _register(self, module: ModuleType, module_name: str, origin: str) -> Plugin:
        what = f"{module_name} (from {origin})"
        try:
            self._manager.register(module, name=module_name)
        except Exception as error:
            self._forget(module)
            raise PluginError(f"{what} has a hook that does not fit - {_one_line(error)}") from error
        try:
            self._manager.check_pending()
            self._refuse_wrappers(module, what)
            classes = self._ask_for_components(module, what)
        except pluggy.PluginValidationError as error:
            self._forget(module)
            raise PluginError(
                f"{what} has a hook that nobody calls - {_one_line(error)}",
                hint=f"the hooks are {', '.join(_hook_names())}",
            ) from error
        except PluginError:
            self._forget(module)
            raise
        plugin = Plugin(module_name, origin, module, classes)
        self._plugins[module_name] = plugin
        return plugin

    def _refuse_wrappers(self, module: ModuleType, what: str) -> None:
        for caller in self._manager.get_hookcallers(module) or ():
            for implementation in caller.get_hookimpls():
                if implementation.plugin is module and (implementation.wrapper or implementation.hookwrapper):
                    raise PluginError(f"{what} wraps the hook {caller.name} - wrappers are not supported")

    def _ask_for_components(self, module: ModuleType, what: str) -> tuple[type[Component], ...]:
        callers = self._manager.get_hookcallers(module) or []
        if not callers:
            raise PluginError(
                f"{what} has no hook - nothing in it is marked with @moby_py.hookimpl",
                hint="write '@hookimpl def moby_components(): return [YourClass]'",
            )
        others = [p for p in self._manager.get_plugins() if p is not module]
        try:
            answers = self._manager.subset_hook_caller("moby_components", others)()
            classes = [cls for answer in answers for cls in answer]
        except Exception as error:
            raise PluginError(f"{what} fails in moby_components - {_reason(error)}") from error
        for cls in classes:
            if not (isinstance(cls, type) and issubclass(cls, Component)):
                raise PluginError(f"{what} brings {cls!r} - it is not a subclass of moby_py.Component")
            if not (getattr(cls, "kind", "") and getattr(cls, "name", "")):
                raise PluginError(f"{what} brings {cls.__qualname__} - it has no kind or no name")
        return tuple(classes)

    def _forget(self, module: ModuleType) -> None:
        if self._manager.is_registered(module):
            self._manager.unregister(module)
        for caller in self._manager.get_hookcallers(module) or ():
            caller._remove_plugin(module)  # a refused register leaves the hooks it had parsed before


def _import(module_name: str, what: str) -> ModuleType:
    try:
        return import_module(module_name)
    except Unavailable:
        raise
    except Exception as error:
        raise PluginError(f"cannot import {what}: {_reason(error)}", hint=_reinstall(what)) from error
    except SystemExit as error:
        raise PluginError(f"cannot import {what}: it ends the program (sys.exit) on import") from error


def _import_file(file: Path, module_name: str) -> ModuleType:
    spec = spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise PluginError(
            "no such plugin file" if not file.exists() else "a plugin file is a Python file",
            hint="--plugin ./NAME.py",
        )
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and inspect look a class's module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise PluginError(f"cannot import it: {_reason(error)}") from error
    except SystemExit as error:
        del sys.modules[module_name]
        raise PluginError("cannot import it: it ends the program (sys.exit) on import") from error
    return module


def _reinstall(what: str) -> str:
    distribution = what.partition("(from ")[2].partition(" ")[0]
    return f"pip install --force-reinstall {distribution}"


def _reason(error: BaseException) -> str:
    if isinstance(error, MobyError | ImportError):
        return _one_line(error)
    return f"{type(error).__name__}: {_one_line(error)}" if str(error) else type(error).__name__


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500]


def _hook_names() -> Sequence[str]:
    return [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "moby_py_spec")]
