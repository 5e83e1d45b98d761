"""GET /containers/json and /containers/{id}/json, from an engine's `Container`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from moby_components.api.docker.shapes.config import CONFIG_DEFAULTS
from moby_components.api.docker.shapes.host_config import host_config
from moby_components.api.docker.times import seconds, unix
from moby_py.human import duration
from moby_py.model import Container, ContainerState

_CONFIG_DEFAULTS: Mapping[str, Any] = {**CONFIG_DEFAULTS, "Labels": {}}
_NETWORK_DEFAULTS: Mapping[str, Any] = {
    "Bridge": "",
    "SandboxID": "",
    "SandboxKey": "",
    "Ports": {},
    "HairpinMode": False,
    "LinkLocalIPv6Address": "",
    "LinkLocalIPv6PrefixLen": 0,
    "SecondaryIPAddresses": None,
    "SecondaryIPv6Addresses": None,
    "EndpointID": "",
    "Gateway": "",
    "GlobalIPv6Address": "",
    "GlobalIPv6PrefixLen": 0,
    "IPAddress": "",
    "IPPrefixLen": 0,
    "IPv6Gateway": "",
    "MacAddress": "",
    "Networks": {},
}


def config(intent: Mapping[str, Any]) -> dict[str, Any]:
    """The Config half of a create body, with Docker's defaults."""
    rest = {k: v for k, v in intent.items() if k not in ("HostConfig", "NetworkingConfig")}
    shape = {**_CONFIG_DEFAULTS, **rest}
    shape["Labels"] = shape["Labels"] or {}
    return shape


def inspect(container: Container, *, driver: str, sizes: tuple[int, int] | None = None) -> dict[str, Any]:
    """ContainerJSON. `sizes`: (writable layer, root filesystem) for `docker inspect -s`."""
    shape = {
        "Id": container.id,
        "Created": container.created,
        "Path": container.path,
        "Args": list(container.args),
        "State": state(container.state),
        "Image": container.image_id,
        "ResolvConfPath": "",
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": container.log_path,
        "Name": "/" + container.name,
        "RestartCount": container.restart_count,
        "Driver": driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(container.exec_ids) or None,
        "HostConfig": host_config(container.intent.get("HostConfig") or {}, runtime=container.runtime),
        "GraphDriver": {"Data": None, "Name": driver},
        "Mounts": [dict(mount) for mount in container.mounts],
        "Config": config(container.intent),
        "NetworkSettings": {**_NETWORK_DEFAULTS, **container.network},
    }
    if sizes is not None:
        shape["SizeRw"], shape["SizeRootFs"] = sizes
    return shape


def state(value: ContainerState) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "Status": value.status,
        "Running": value.status in ("running", "paused", "restarting"),
        "Paused": value.status == "paused",
        "Restarting": value.status == "restarting",
        "OOMKilled": value.oom_killed,
        "Dead": value.status == "dead",
        "Pid": value.pid,
        "ExitCode": value.exit_code,
        "Error": value.error,
        "StartedAt": value.started_at,
        "FinishedAt": value.finished_at,
    }
    if value.health is not None and value.health.status != "none":
        shape["Health"] = {
            "Status": value.health.status,
            "FailingStreak": value.health.failing_streak,
            "Log": [dict(entry) for entry in value.health.log],
        }
    return shape


def summary(
    container: Container, *, image: str = "", sizes: tuple[int, int] | None = None, now: float | None = None
) -> dict[str, Any]:
    """One element of GET /containers/json. `image` as to be shown (the id where the name moved on)."""
    host = container.intent.get("HostConfig") or {}
    shape: dict[str, Any] = {
        "Id": container.id,
        "Names": ["/" + container.name],
        "Image": image or container.image,
        "ImageID": container.image_id,
        "Command": command(container),
        "Created": unix(container.created),
        "Ports": ports(container.network.get("Ports") or {}),
        "Labels": container.intent.get("Labels") or {},
        "State": container.state.status,
        "Status": status(container.state, time.time() if now is None else now),
        "HostConfig": {"NetworkMode": host.get("NetworkMode") or "default"},
        "NetworkSettings": {"Networks": container.network.get("Networks") or {}},
        "Mounts": [dict(mount) for mount in container.mounts],
    }
    if host.get("Annotations"):
        shape["HostConfig"]["Annotations"] = host["Annotations"]
    if sizes is not None:
        shape["SizeRw"], shape["SizeRootFs"] = sizes
    return shape


def command(container: Container) -> str:
    args = (f"'{arg}'" if " " in arg else arg for arg in container.args)
    return " ".join([container.path, *args])


def status(value: ContainerState, now: float) -> str:
    """ "Up 3 minutes (healthy)", "Exited (0) 5 seconds ago": made here, printed as it is by clients."""
    up = duration(now - seconds(value.started_at))
    ended = duration(now - seconds(value.finished_at))
    match value.status:
        case "paused":
            return f"Up {up} (Paused)"
        case "restarting":
            return f"Restarting ({value.exit_code}) {ended} ago"
        case "running":
            health = value.health.status if value.health else "none"
            word = {"none": "", "starting": " (health: starting)"}.get(health, f" ({health})")
            return f"Up {up}{word}"
        case "removing":
            return "Removal In Progress"
        case "dead":
            return "Dead"
        case "created":
            return "Created"
    return f"Exited ({value.exit_code}) {ended} ago"


def ports(bindings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """NetworkSettings.Ports -> the flat list of GET /containers/json."""
    flat: list[dict[str, Any]] = []
    for key, hosts in sorted(bindings.items()):
        number, _, protocol = key.partition("/")
        base = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        if not hosts:
            flat.append(base)
        for host in hosts or ():
            flat.append({"IP": host.get("HostIp", ""), **base, "PublicPort": int(host.get("HostPort") or 0)})
    return flat
