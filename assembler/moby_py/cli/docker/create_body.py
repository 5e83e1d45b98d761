"""From the options of `run` and `create` to the body of POST /containers/create."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from moby_py.cli.docker import network_option, parsing
from moby_py.cli.docker.parsing import drop_empty, size


def create_body(options: Mapping[str, Any], image: str, command: Sequence[str]) -> dict[str, Any]:
    """Only what was asked for: defaults are the engine's. Raises click.UsageError."""
    o = options
    exposed, bindings = parsing.ports(o["publish"])
    exposed.update({port if "/" in port else f"{port}/tcp": {} for port in o["expose"]})
    binds: list[str] = []
    anonymous: dict[str, Any] = {}
    for text in o["volume"]:
        bind, target = parsing.volume(text)
        if bind is None:
            anonymous[target] = {}
        else:
            binds.append(bind)
    body = drop_empty(
        {
            "Hostname": o["hostname"],
            "Domainname": o["domainname"],
            "User": o["user"],
            "Tty": o["tty"],
            "OpenStdin": o["interactive"],
            "Env": parsing.environment(o["env"], o["env_file"]),
            "Cmd": list(command),
            "Volumes": anonymous,
            "WorkingDir": o["workdir"],
            "Entrypoint": [o["entrypoint"]] if o["entrypoint"] else None,
            "Labels": parsing.labels(o["label"], o["label_file"]),
            "ExposedPorts": exposed,
            "StopSignal": o["stop_signal"],
            "Healthcheck": _health(o),
        }
    )
    body["Image"] = image
    if o["stop_timeout"] is not None:
        body["StopTimeout"] = o["stop_timeout"]
    networks = [network_option.parse(text) for text in o["network"]]
    body["HostConfig"] = _host(o, binds, bindings, networks[0][0] if networks else "")
    endpoints = _endpoints(o, networks)
    if endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": endpoints}
    return body


def _host(
    o: Mapping[str, Any], binds: list[str], bindings: Mapping[str, Any], network: str
) -> dict[str, Any]:
    mounts = [parsing.mount(text) for text in o["mount"]]
    mounts += [parsing.secret(text) for text in o["secret"]]
    shape = drop_empty(
        {
            "Binds": binds,
            "Mounts": mounts,
            "Tmpfs": {target: rest for target, _, rest in (text.partition(":") for text in o["tmpfs"])},
            "VolumesFrom": list(o["volumes_from"]),
            "NetworkMode": network,
            "PortBindings": dict(bindings),
            "PublishAllPorts": o["publish_all"],
            "ExtraHosts": list(o["add_host"]),
            "Dns": list(o["dns"]),
            "DnsSearch": list(o["dns_search"]),
            "DnsOptions": list(o["dns_option"]),
            "Links": list(o["link"]),
            "CapAdd": list(o["cap_add"]),
            "CapDrop": list(o["cap_drop"]),
            "SecurityOpt": [_security(text) for text in o["security_opt"]],
            "GroupAdd": list(o["group_add"]),
            "Privileged": o["privileged"],
            "ReadonlyRootfs": o["read_only"],
            "AutoRemove": o["rm"],
            "Devices": [parsing.device(text) for text in o["device"]],
            "Ulimits": [parsing.ulimit(text) for text in o["ulimit"]],
            "Sysctls": parsing.pairs(o["sysctl"], "--sysctl"),
            "Annotations": parsing.pairs(o["annotation"], "--annotation"),
            "Runtime": o["runtime"],
            "PidMode": o["pid"],
            "IpcMode": o["ipc"],
            "UTSMode": o["uts"],
            "UsernsMode": o["userns"],
            "CgroupnsMode": o["cgroupns"],
            "CgroupParent": o["cgroup_parent"],
            "OomKillDisable": o["oom_kill_disable"],
            "OomScoreAdj": o["oom_score_adj"],
            **_limits(o),
        }
    )
    if o["init"]:
        shape["Init"] = True
    if o["restart"]:
        shape["RestartPolicy"] = parsing.restart(o["restart"])
        if o["rm"] and shape["RestartPolicy"]["Name"] != "no":
            raise click.UsageError("--restart and --rm contradict each other - leave one out")
    if o["log_driver"] or o["log_opt"]:
        config = parsing.pairs(o["log_opt"], "--log-opt")
        shape["LogConfig"] = {"Type": o["log_driver"], "Config": config}
    return shape


def _limits(o: Mapping[str, Any]) -> dict[str, Any]:
    try:
        cpus = round(float(o["cpus"]) * 10**9) if o["cpus"] else 0
    except ValueError:
        raise click.UsageError(f"invalid value {o['cpus']!r} for --cpus - write a number, 1.5") from None
    sizes = {
        "Memory": "memory",
        "MemorySwap": "memory_swap",
        "MemoryReservation": "memory_reservation",
        "ShmSize": "shm_size",
    }
    return {
        **{field: size(o[key], f"--{key.replace('_', '-')}") for field, key in sizes.items() if o[key]},
        "NanoCpus": cpus,
        "CpuShares": o["cpu_shares"],
        "CpuQuota": o["cpu_quota"],
        "CpuPeriod": o["cpu_period"],
        "CpusetCpus": o["cpuset_cpus"],
        "CpusetMems": o["cpuset_mems"],
        "PidsLimit": o["pids_limit"],
        "BlkioWeight": o["blkio_weight"],
    }


def _security(text: str) -> str:
    """A seccomp profile's file is read here, as docker does: the engine gets its text."""
    key, separator, value = text.partition("=") if "=" in text else text.partition(":")
    if key != "seccomp" or not separator or value in ("unconfined", "builtin"):
        return text
    try:
        profile = json.loads(Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"cannot use seccomp profile {value!r} - {error}") from None
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"


def _health(o: Mapping[str, Any]) -> dict[str, Any] | None:
    if o["no_healthcheck"]:
        return {"Test": ["NONE"]}
    shape: dict[str, Any] = {}
    if o["health_cmd"]:
        shape["Test"] = ["CMD-SHELL", o["health_cmd"]]
    for field, key in (
        ("Interval", "health_interval"),
        ("Timeout", "health_timeout"),
        ("StartPeriod", "health_start_period"),
        ("StartInterval", "health_start_interval"),
    ):
        if o[key]:
            shape[field] = parsing.duration(o[key], f"--{key.replace('_', '-')}")
    if o["health_retries"]:
        shape["Retries"] = o["health_retries"]
    return shape or None


_PREDEFINED = ("default", "bridge", "host", "none")


def _endpoints(o: Mapping[str, Any], networks: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Settings per network; --network-alias, --ip and --mac-address are the first one's, as in docker."""
    plain = drop_empty(
        {
            "Aliases": list(o["network_alias"]),
            "IPAMConfig": drop_empty({"IPv4Address": o["ip"], "IPv6Address": o["ip6"]}) or None,
            "MacAddress": o["mac_address"],
            "Links": list(o["link"]) if networks and networks[0][0] not in _PREDEFINED else [],
        }
    )
    found = networks or [("default", {})]
    if not plain and len(found) < 2 and not found[0][1]:
        return {}
    return {name: {**settings, **plain} if n == 0 else settings for n, (name, settings) in enumerate(found)}
