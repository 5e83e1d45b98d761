"""Everything of a create body that can be refused before anything is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moby_components.engine.moby.health.plan import health_check
from moby_components.engine.moby.rendering import etc_files, logconfig, network
from moby_components.engine.moby.rendering.devices import check_devices
from moby_components.engine.moby.rendering.mounts import plan
from moby_components.engine.moby.rendering.namespaces import namespaces
from moby_components.engine.moby.rendering.process import process
from moby_components.engine.moby.rendering.resources import check_cpus, limited, resources
from moby_components.engine.moby.rendering.security import security
from moby_components.engine.moby.rendering.spec import sysctls
from moby_components.engine.moby.restart import RestartPolicy
from moby_components.engine.moby.signals import parse_signal
from moby_py.errors import InvalidArgument, Unsupported


def check(body: Mapping[str, Any], id: str, *, default_network: str) -> tuple[str, ...]:
    """Run every pure part of the rendering once. Returns warnings; raises InvalidArgument."""
    host = body.get("HostConfig") or {}
    try:
        if host.get("StorageOpt"):
            raise InvalidArgument("storage options are not supported - no limit of size could be held")
        policy = RestartPolicy.of(host)
        if host.get("AutoRemove") and policy.name != "no":
            raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
        network.check(body, id)
        process(body, security(host), hostname=network.hostname(body, id), ours=0)
        check_cpus(resources(host))
        namespaces(body)
        joins = network.networking(body, id=id, default=default_network)
        mode = joins.endpoints[0].network if joins.endpoints else ""
        sysctls(host, host_network=mode == "host")
        logconfig.log_plan(host)
        etc_files.extra_hosts(host)
        etc_files.check_dns(host)
        check_devices(host)
        health_check(body)
        plan(body, lambda _: ())
        for port in body.get("ExposedPorts") or {}:
            network.exposed(port)
        if body.get("StopSignal"):
            parse_signal(body["StopSignal"])
        if (host.get("ShmSize") or 0) < 0:
            raise InvalidArgument("SHM size can not be less than 0")
        if joins.join and body.get("Hostname"):
            raise InvalidArgument("conflicting options: hostname and the network mode")
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise InvalidArgument(f"invalid container config - {error}") from error
    warnings = []
    if mode in ("host", "none") and joins.ports:
        warnings.append(f"Published ports are discarded when using {mode} network mode")
    return tuple(warnings)


def check_features(body: Mapping[str, Any], runtime: str, features: frozenset[str]) -> None:
    """What this runtime cannot do, said before it is asked. Raises Unsupported."""
    host = body.get("HostConfig") or {}
    found = namespaces(body)
    needs = {
        "tty": ("a terminal", bool(body.get("Tty"))),
        "cgroups": ("limits", limited(resources(host))),
        "devices": ("devices", bool(host.get("Devices"))),
        "seccomp": ("a seccomp profile of one's own", security(host).seccomp.startswith("{")),
        "userns": ("a user namespace of its own", found.own.get("user") == "private"),
        "join-namespaces": (
            "the namespaces of another container",
            bool(found.join) or str(host.get("NetworkMode") or "").startswith("container:"),
        ),
    }
    for feature, (wish, wanted) in needs.items():
        if wanted and feature not in features:
            raise lacks(runtime, wish, feature)


def unwatched(body: Mapping[str, Any], runtime: str, features: frozenset[str]) -> tuple[str, ...]:
    """A warning where there is a health check that this runtime has no way to run."""
    if health_check(body) is None or "exec" in features:
        return ()
    return (f"The health check is discarded: runtime {runtime!r} cannot run a further process (exec).",)


def lacks(runtime: str, wish: str, feature: str) -> Unsupported:
    return Unsupported(
        f"runtime {runtime!r} does not support {wish} - it lacks the feature {feature!r}",
        hint="choose another runtime with --runtime, or in the blueprint",
    )
