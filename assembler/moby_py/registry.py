"""Which components there are, who brings them, and how one of them is loaded.

Three doors lead in, and behind each is the same hook: the built-ins (`moby_components.BUILTINS`),
entry points in group `moby_py` named KIND.NAME, and files given with `--plugin`. Listing and reading
schemas imports no component; `load` imports the one module that is asked for and checks it, so that
a broken plugin which no blueprint names disturbs nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from moby_py import __version__
from moby_py.component import Component
from moby_py.errors import PluginError, Unavailable
from moby_py.kinds import KINDS
from moby_py.plugins import PluginHost
from moby_py.schema_files import check_schema, no_options, read_schema

GROUP = "moby_py"
BUILTIN_PACKAGE = "moby_components"
DISTRIBUTION = "moby-py"


@dataclass(frozen=True, slots=True)
class Entry:
    """One component as it is registered. `status` is "" until somebody looked (`examine`), then
    "ok", "unavailable" (this host lacks something) or "broken", with the reason in `why`."""

    kind: str
    name: str
    distribution: str
    version: str
    module: str
    status: str = ""
    why: str = ""
    summary: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}.{self.name}"

    @property
    def origin(self) -> str:
        """Who brings it, as messages say it: "moby-py-acme 0.1", or a file's path."""
        return f"{self.distribution} {self.version}".strip()


class Registry:
    """The components of this Python environment. Cheap to make; holds what it has loaded.

    `plugin_files` are loaded when entries are first asked for: they were named on purpose, so a
    broken one raises PluginError at once.
    """

    def __init__(self, plugin_files: Sequence[str | Path] = ()) -> None:
        self.plugin_files = tuple(Path(file).absolute() for file in plugin_files)
        self.plugins = PluginHost()
        self._entries: tuple[Entry, ...] | None = None
        self._loaded: dict[str, type[Component]] = {}
        self._schemas: dict[str, dict[str, Any]] = {}

    # -- listing: imports nothing but plugin files -------------------------------------------------

    def entries(self) -> Sequence[Entry]:
        """All registered components: the house's kinds first, in their order; of a kind the built-ins
        first, in theirs (the first one is what a newcomer should take), then plugins' by name."""
        if self._entries is None:
            found = [
                *_builtins(),
                *sorted(_entry_points(), key=lambda e: (e.name, e.distribution)),
                *self._from_files(),
            ]
            ranks = {kind: rank for rank, kind in enumerate(KINDS)}
            found.sort(key=lambda e: (ranks.get(e.kind, len(ranks)), e.kind))
            self._entries = tuple(found)
        return self._entries

    def kinds(self) -> Sequence[str]:
        """The house's kinds, then those that only plugins bring."""
        return tuple(dict.fromkeys([*KINDS, *(e.kind for e in self.entries())]))

    def names(self, kind: str) -> list[str]:
        """The names that a blueprint may use for `kind`."""
        return list(dict.fromkeys(e.name for e in self.entries() if e.kind == kind))

    def entry(self, kind: str, name: str) -> Entry:
        """The one entry KIND.NAME. Raises PluginError: unknown, or brought by two distributions."""
        found = [e for e in self.entries() if (e.kind, e.name) == (kind, name)]
        if not found:
            close = get_close_matches(name, self.names(kind), n=1)
            raise PluginError(
                f"there is no {kind} named {name!r} - no installed package brings one",
                hint=f"did you mean {close[0]!r}?" if close else "moby-py components",
            )
        if len(found) > 1:
            raise PluginError(
                f"{kind}.{name} is brought twice - by {' and by '.join(e.origin for e in found)}",
                hint=f"pip uninstall {found[-1].distribution}"
                if found[-1].version
                else "leave one of them out",
            )
        return found[0]

    # -- schemas -----------------------------------------------------------------------------------

    def schema(self, kind: str, name: str) -> dict[str, Any]:
        """The JSON Schema of a component's options, read from the file beside its module.

        Imports the component only where the file is not under one of the usual names. Raises PluginError
        when it cannot be read or is no valid schema (draft 2020-12).
        """
        entry = self.entry(kind, name)
        if entry.key not in self._schemas:
            cls = self._loaded.get(entry.key)
            schema = self._schema_of(entry, cls) if cls else self._schema_file(entry)
            if schema is None:
                schema = self._schema_of(entry, self._import(entry))
            if entry.distribution != DISTRIBUTION:  # ours are checked by our tests; it costs 70 ms
                check_schema(schema, _who(entry))
            self._schemas[entry.key] = schema
        return self._schemas[entry.key]

    def _schema_file(self, entry: Entry) -> dict[str, Any] | None:
        """KIND.NAME.schema.json beside the module; else options.schema.json, where only one
        component lives in that module."""
        schema = read_schema(entry.module, f"{entry.key}.schema.json", _who(entry))
        if schema is None and sum(e.module == entry.module for e in self.entries()) == 1:
            schema = read_schema(entry.module, Component.schema, _who(entry))
        return schema

    def _schema_of(self, entry: Entry, cls: type[Component]) -> dict[str, Any]:
        schema = read_schema(cls.__module__, cls.schema, _who(entry))
        if schema is not None:
            return schema
        if cls.schema != Component.schema:
            raise PluginError(
                f"{_who(entry)}: its schema file {cls.schema} is missing beside {cls.__module__}",
                hint="ship the file in the package",
            )
        return no_options()

    def summary(self, kind: str, name: str) -> str:
        """One line on a component; from its schema's description while it is not loaded."""
        entry = self.entry(kind, name)
        if entry.key in self._loaded:
            return self._loaded[entry.key].summary
        try:
            text = str(self.schema(kind, name).get("description", ""))
            return text or self.load(kind, name).summary
        except PluginError:
            return ""

    # -- loading -----------------------------------------------------------------------------------

    def load(self, kind: str, name: str) -> type[Component]:
        """Import one component and check it against its contract.

        Raises PluginError naming the distribution; Unavailable when its module says so at import.
        """
        entry = self.entry(kind, name)
        cls = self._import(entry)
        if entry.distribution != DISTRIBUTION:
            self.schema(kind, name)
        return cls

    def _import(self, entry: Entry) -> type[Component]:
        if entry.key not in self._loaded:
            plugin = self.plugins.load(entry.module, entry.key, entry.origin)
            self._loaded[entry.key] = plugin.component(entry.kind, entry.name)
            self._schemas.pop(entry.key, None)  # the class may name another file than the usual ones
        return self._loaded[entry.key]

    def examine(self, entry: Entry) -> Entry:
        """The entry with its status. Loads it; never raises for what a plugin does wrong."""
        try:
            cls = self.load(entry.kind, entry.name)
        except Unavailable as error:
            return replace(entry, status="unavailable", why=error.message)
        except PluginError as error:
            why = error.message.removeprefix(f"{entry.key}: ").removeprefix(f"{_who(entry)}: ")
            return replace(entry, status="broken", why=why.replace(f" (from {entry.origin})", "", 1))
        return replace(entry, status="ok", summary=cls.summary)

    def _from_files(self) -> list[Entry]:
        entries = []
        for file in self.plugin_files:
            plugin = self.plugins.load_file(file)
            entries += [
                Entry(cls.kind, cls.name, str(file), "", plugin.module_name) for cls in plugin.classes
            ]
        return entries


def _builtins() -> list[Entry]:
    table: Mapping[str, str] = import_module(BUILTIN_PACKAGE).BUILTINS
    return [_entry(key, module, DISTRIBUTION, __version__) for key, module in table.items()]


def _entry_points() -> list[Entry]:
    return [
        _entry(point.name, point.module, point.dist.name, point.dist.version)
        for point in metadata.entry_points(group=GROUP)
        if point.dist is not None
    ]


def _entry(key: str, module: str, distribution: str, version: str) -> Entry:
    kind, _, name = key.partition(".")
    return Entry(kind, name, distribution, version, module)


def _who(entry: Entry) -> str:
    return f"{entry.key} (from {entry.origin})"
