"""The lists of the networks there are, one file each, and the bridges that came with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from moby_components.network.cni import bridges, chain, conflist
from moby_components.network.cni.plugin import Plugins
from moby_py.errors import MobyError

_FOREIGN = "moby-py/foreignBridge"
"""Key of a list whose bridge was there before the network: it stays when the network goes."""


class Made:
    def __init__(self, folder: Path, plugins: Plugins) -> None:
        self._folder = folder
        self._plugins = plugins

    async def write(self, network_id: str, config: Mapping[str, Any], *, drawn: bool) -> Mapping[str, Any]:
        """Keep the list; one that was `drawn` by us in the CNI version that its plugins have in common.
        Idempotent. Raises MobyError: Unavailable for a plugin that is missing."""
        types = list(conflist.types(config))
        for type in types:
            self._plugins.find(type)
        config = dict(config)
        if drawn:
            config["cniVersion"] = await chain.common_version(self._plugins, types, config["cniVersion"])
        before = self._read(network_id)
        bridge = conflist.bridge(config)
        known = before is not None and conflist.bridge(before) == bridge
        if known and before:
            foreign = before.get(_FOREIGN)
        else:  # a name of our making is ours, whatever became of our files
            foreign = not conflist.INTERFACE.fullmatch(bridge) and bridges.present({bridge})
        if foreign:
            config[_FOREIGN] = True
        self._folder.mkdir(mode=0o700, exist_ok=True)
        part = self._folder / f"{network_id}.part"
        part.write_text(conflist.text(config), encoding="utf-8")
        part.replace(self._path(network_id))
        return config

    def ids(self) -> set[str]:
        """The networks that there is a file of."""
        return {path.stem for path in self._folder.glob("*.conflist")}

    def take_down(self, network_id: str) -> None:
        """Bridge and file go. Idempotent."""
        config = self._read(network_id)
        bridge = conflist.bridge(config) if config is not None else ""
        if config is not None and bridge and not config.get(_FOREIGN):
            bridges.delete(bridge)
        self._path(network_id).unlink(missing_ok=True)

    def take_idle_down(self, configs: Iterable[Mapping[str, Any]]) -> bool:
        """The bridges of these lists that have no port; True where one has. They come again with the
        next container."""
        names = {conflist.bridge(config) for config in configs if not config.get(_FOREIGN)} - {""}
        there = bridges.present(names)
        for name, busy in there.items():
            if not busy:
                bridges.delete(name)
        return any(there.values())

    def _read(self, network_id: str) -> dict[str, Any] | None:
        path = self._path(network_id)
        try:
            return conflist.parse(path.read_bytes(), str(path))
        except (OSError, MobyError):
            return None

    def _path(self, network_id: str) -> Path:
        return self._folder / f"{network_id}.conflist"
