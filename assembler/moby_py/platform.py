"""A built platform, running: components constructed from OUT/platform.yaml, opened in order,
closed in reverse.

`load` reads what `build` wrote and constructs nothing; `Platform.open` constructs and opens each
component with the directories, options, binaries and collaborators that the wiring gives it. One
that fails to open closes those before it: a failed start leaves nothing behind.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moby_py.assembled import Assembled
from moby_py.component import Component, Context, Dirs, PlatformInfo
from moby_py.directories import run_dir, state_dir
from moby_py.elsewhere import Place, find
from moby_py.errors import MobyError, NotFound
from moby_py.hooks import HookDispatcher
from moby_py.kinds import Api, Engine, ImageStore
from moby_py.registry import Registry
from moby_py.supervisor import Supervisor

log = logging.getLogger("moby_py.platform")


@dataclass(frozen=True, slots=True)
class Built:
    """A platform directory as read: plain data, nothing imported."""

    directory: Path
    name: str
    components: Mapping[str, tuple[Mapping[str, Any], ...]]
    images: tuple[str, ...]
    plugins: tuple[str, ...]
    lock: Mapping[str, Any]
    state: Path
    run: Path
    elsewhere: bool = False
    """Not in the directories that its name gives: its daemon leaves a pointer (`moby_py.elsewhere`)."""

    @property
    def record(self) -> Path:
        """Written by a running daemon: pid, endpoints, since when."""
        return self.run / "daemon.json"

    @property
    def log_file(self) -> Path:
        return self.state / "daemon.log"


def load(
    directory: str | Path, *, state: str | None = None, run: str | None = None, anyones: bool = False
) -> Built:
    """Read a platform directory. `state` and `run` override the places of its state and run-time
    files; without them a platform that was started elsewhere is found there, and with `anyones` also
    the one that root started. Raises MobyError when it is not a platform directory."""
    import json

    import yaml

    out = Path(directory).absolute()
    try:
        data = yaml.safe_load((out / "platform.yaml").read_text(encoding="utf-8"))
        lock = json.loads((out / "platform.lock").read_text(encoding="utf-8"))
        name = data["name"]
        components = {kind: tuple(items) for kind, items in data["components"].items()}
    except FileNotFoundError:
        raise MobyError(
            f"{directory} is not a platform directory - it has no platform.yaml and platform.lock",
            hint=f"moby-py build blueprint.yaml -o {directory}",
        ) from None
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise MobyError(
            f"{directory} is damaged - {error}", hint="build it again from its blueprint"
        ) from error
    place = Place(
        state=Path(state).absolute() if state else state_dir(name),
        run=Path(run).absolute() if run else run_dir(name),
    )
    if not state and not run:
        place = find(out, name, anyones=anyones) or place
    return Built(
        directory=out,
        name=name,
        components=components,
        images=tuple(data.get("images") or ()),
        plugins=tuple(data.get("plugins") or ()),
        lock=lock,
        state=place.state,
        run=place.run,
        elsewhere=place != Place(state_dir(name), run_dir(name)),
    )


class Platform:
    """Opens, serves and closes one built platform. Use once."""

    def __init__(self, built: Built, *, rootless: bool = False) -> None:
        self.built = built
        self.wiring = Assembled()
        self.rootless = rootless
        self._opened: list[Component] = []
        self._supervisor = Supervisor(log, built.run)
        self._hooks: HookDispatcher | None = None

    async def open(self) -> None:
        """Construct and open every component, in the order that `build` wired. Undone when one fails."""
        registry = Registry(plugin_files=[Path(p) for p in self.built.plugins])
        classes = {
            (kind, item["as"]): registry.load(kind, item["use"])
            for kind, items in self.built.components.items()
            for item in items
        }
        self._hooks = HookDispatcher(registry)
        try:
            for kind, items in self.built.components.items():
                for item in items:
                    component = classes[kind, item["as"]](self._context(kind, item, self._hooks))
                    for service in component.services():
                        await self._supervisor.start(service, f"{kind}/{item['as']}")
                    await component.open()
                    self._opened.append(component)
                    self.wiring.add(kind, item["as"], component)
                    log.debug("opened %s/%s", kind, item["as"])
            await self._supervisor.settle()
        except BaseException:
            await self.close(leave_adopted=True)
            raise

    async def ensure_images(self) -> None:
        """Pull what the blueprint's `images:` names and the store lacks."""
        from moby_py.reference import parse

        for name in self.built.images:
            reference = str(parse(name))
            try:
                await self.wiring[ImageStore].inspect(reference)
            except NotFound:
                log.info("pulling %s, which the blueprint names", reference)
                await self.wiring[Engine].pull(reference)

    async def stop_containers(self) -> None:
        """Stop what runs, each with its own grace; restart policies stay as they were."""
        if self.wiring.all(Engine):
            await self.wiring[Engine].shutdown()

    async def close(self, *, leave_kept: bool = False, leave_adopted: bool = False) -> None:
        """Close in reverse. A component that fails to close is logged; the others close all the same.
        `leave_kept` and `leave_adopted` as in `Supervisor.stop`, where containers run on."""
        while self._opened:
            component = self._opened.pop()
            try:
                await component.close()
            except Exception:
                log.exception("closing %s/%s failed", component.kind, component.context.id)
        await self._supervisor.stop(leave_kept=leave_kept, leave_adopted=leave_adopted)
        if self._hooks:
            self._hooks.close()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(api.endpoint for api in self.wiring.all(Api).values())

    def _context(self, kind: str, item: Mapping[str, Any], hooks: HookDispatcher) -> Context:
        id = item["as"]
        dirs = Dirs(
            state=self.built.state / kind / id,
            run=self.built.run / kind / id,
            config=self.built.directory / "etc" / kind / id,
        )
        for path in (dirs.state, dirs.run):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        binaries = {
            entry["name"]: Path(entry["path"])
            for entry in self.built.lock.get("binaries", ())
            if entry["kind"] == kind and entry["id"] == id
        }
        return Context(
            platform=PlatformInfo(
                name=self.built.name,
                directory=self.built.directory,
                state=self.built.state,
                run=self.built.run,
                rootless=self.rootless,
            ),
            id=id,
            options=item.get("with") or {},
            dirs=dirs,
            wiring=self.wiring,
            hooks=hooks,
            binaries=binaries,
            log=logging.getLogger(f"moby_py.{kind}.{id}"),
        )
