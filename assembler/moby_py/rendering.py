"""The files of a platform directory, as one value: relative path -> (bytes, mode).

platform.yaml   the resolved blueprint      platform.lock   versions and digests of every part
sbom.cdx.json   CycloneDX                   graph.svg, graph.mmd   the wiring
bin/NAME        the platform's command      units/NAME.service     a systemd unit
etc/KIND/ID/    native configs of the parts
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from moby_py import graph, graph_svg, launcher, lock, sbom
from moby_py.component import PlatformInfo
from moby_py.errors import MobyError, PluginError
from moby_py.outputs.tree import File, Tree

if TYPE_CHECKING:
    from moby_py.assembly import Plan
    from moby_py.host import HostReport
    from moby_py.wiring import Part


def render(plan: Plan, host: HostReport, parts: Mapping[str, Any]) -> Tree:
    """Every file. Pure but for reading the installed distributions' metadata."""
    name = plan.blueprint.name
    picture = graph.of(name, plan.wiring, host)
    files: Tree = {
        "platform.yaml": File(platform_yaml(plan)),
        "platform.lock": File(lock.dumps(parts)),
        "sbom.cdx.json": File(sbom.dumps(sbom.make(name, parts))),
        "graph.mmd": File(graph.mermaid(picture).encode()),
        "graph.svg": File(graph_svg.svg(picture).encode()),
        f"bin/{name}": File(launcher.script().encode(), 0o755),
        f"units/{name}.service": File(launcher.unit(name).encode()),
    }
    for part in plan.wiring.parts:
        for path, text in _native_config(part, name).items():
            files[f"etc/{part.kind}/{part.id}/{path}"] = File(text.encode())
    return dict(sorted(files.items()))


def platform_yaml(plan: Plan) -> bytes:
    """The resolved blueprint. Kinds in the order of start; of a kind the default first."""
    import yaml

    wiring = plan.wiring
    components = {
        kind: [{"use": p.use, "as": p.id, "with": _plain(p.options)} for p in wiring.of(kind)]
        for kind in wiring.kinds
    }
    data = {
        "blueprint": 1,
        "name": plan.blueprint.name,
        "components": components,
        "images": list(plan.blueprint.images),
        "plugins": [str(file) for file in plan.registry.plugin_files],
    }
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100)
    return b"# Written by moby-py build: every default made explicit. Change the blueprint, not this.\n" + (
        text.encode()
    )


def _plain(value: Any) -> Any:
    """Plain containers with sorted keys: the order of a mapping must not depend on how it was made."""
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _native_config(part: Part, platform: str) -> Mapping[str, str]:
    from moby_py.directories import run_dir, state_dir

    # The directory can be moved and copied, so a config may not know where it is: "." stands for it.
    info = PlatformInfo(name=platform, directory=Path(), state=state_dir(platform), run=run_dir(platform))
    try:
        files = dict(part.cls.native_config(part.options, info))
    except MobyError as error:  # what an option names is not there, or is not what it should be
        raise type(error)(f"{part.key}: {error.message}", hint=error.hint) from error
    except Exception as error:
        raise PluginError(
            f"{part.key}: its native_config failed - {type(error).__name__}: {error}"
        ) from error
    for path, text in files.items():
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts or not isinstance(text, str):
            raise PluginError(
                f"{part.key}: its native_config names {path!r} - a config file is text inside its own folder"
            )
    return files
