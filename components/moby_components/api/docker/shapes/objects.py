"""Networks, volumes, secrets, execs, events: the small shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moby_py.model import Container, Event, ExecInstance, NetworkRecord, SecretRecord, Volume


def network(record: NetworkRecord, containers: Iterable[Container] = ()) -> dict[str, Any]:
    ipam: dict[str, Any] = {"Driver": "default", "Options": None, "Config": []}
    ipam.update(record.ipam)
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": record.created or "0001-01-01T00:00:00Z",
        "Scope": "local",
        "Driver": record.driver,
        "EnableIPv4": True,
        "EnableIPv6": record.ipv6,
        "IPAM": ipam,
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {c.id: _endpoint(c, record) for c in containers if attached(c, record)},
        "Options": dict(record.options),
        "Labels": dict(record.labels),
    }


def attached(container: Container, record: NetworkRecord) -> bool:
    """Is it live on that network?"""
    joined = (container.network.get("Networks") or {}).get(record.name)
    return joined is not None and container.state.status in ("running", "paused", "restarting")


def _endpoint(container: Container, record: NetworkRecord) -> dict[str, Any]:
    joined: Mapping[str, Any] = container.network["Networks"][record.name] or {}
    ipv4, ipv6 = joined.get("IPAddress") or "", joined.get("GlobalIPv6Address") or ""
    return {
        "Name": container.name,
        "EndpointID": joined.get("EndpointID", ""),
        "MacAddress": joined.get("MacAddress", ""),
        "IPv4Address": f"{ipv4}/{joined.get('IPPrefixLen', 0)}" if ipv4 else "",
        "IPv6Address": f"{ipv6}/{joined.get('GlobalIPv6PrefixLen', 0)}" if ipv6 else "",
    }


def volume(record: Volume) -> dict[str, Any]:
    return {
        "CreatedAt": record.created,
        "Driver": record.driver,
        "Labels": dict(record.labels),
        "Mountpoint": record.mountpoint,
        "Name": record.name,
        "Options": dict(record.options) or None,
        "Scope": "local",
        **({"Status": dict(record.status)} if record.status else {}),
    }


def secret(record: SecretRecord) -> dict[str, Any]:
    return {
        "ID": record.id,
        "Version": {"Index": record.version},
        "CreatedAt": record.created,
        "UpdatedAt": record.updated,
        "Spec": {"Name": record.name, "Labels": dict(record.labels)},
    }


def exec_instance(instance: ExecInstance) -> dict[str, Any]:
    config = instance.config
    args = list(config.get("Cmd") or ())
    return {
        "ID": instance.id,
        "Running": instance.running,
        "ExitCode": instance.exit_code,
        "ProcessConfig": {
            "tty": bool(config.get("Tty")),
            "entrypoint": args[0] if args else "",
            "arguments": args[1:],
            "privileged": bool(config.get("Privileged")),
            **({"user": config["User"]} if config.get("User") else {}),
        },
        "OpenStdin": bool(config.get("AttachStdin")),
        "OpenStdout": bool(config.get("AttachStdout")),
        "OpenStderr": bool(config.get("AttachStderr")),
        "CanRemove": instance.exit_code is not None,
        "ContainerID": instance.container_id,
        "DetachKeys": "",
        "Pid": instance.pid,
    }


def event(happened: Event) -> dict[str, Any]:
    """Old clients read status, id and from; new ones Type, Action and Actor. All get all: both slice
    ids without looking."""
    return {
        "status": happened.action,
        "id": happened.actor,
        "from": happened.attributes.get("image", ""),
        "Type": happened.type,
        "Action": happened.action,
        "Actor": {"ID": happened.actor, "Attributes": dict(happened.attributes)},
        "scope": "local",
        "time": happened.time_nano // 1_000_000_000,
        "timeNano": happened.time_nano,
    }
