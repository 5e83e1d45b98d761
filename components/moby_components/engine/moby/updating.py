"""`update`: the HostConfig that follows from an old one and a request, in Docker's words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moby_components.engine.moby.rendering.resources import check_cpus, resources
from moby_components.engine.moby.rendering.shape import check_shape
from moby_components.engine.moby.restart import RestartPolicy
from moby_py.errors import Conflict, InvalidArgument

_LIMITS = (
    *("BlkioWeight", "CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems", "Memory"),
    *("MemorySwap", "MemoryReservation", "NanoCpus", "PidsLimit"),
)
_EITHER = (
    ("NanoCpus", "CpuPeriod", "Nano CPUs cannot be updated as CPU Period has already been set"),
    ("NanoCpus", "CpuQuota", "Nano CPUs cannot be updated as CPU Quota has already been set"),
    ("CpuPeriod", "NanoCpus", "CPU Period cannot be updated as NanoCPUs has already been set"),
    ("CpuQuota", "NanoCpus", "CPU Quota cannot be updated as NanoCPUs has already been set"),
)


def updated(id: str, host: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """(HostConfig, whether a limit changes). What is absent or zero stays; PidsLimit 0 and -1 take the
    limit away. Raises InvalidArgument, Conflict."""
    check_shape({"HostConfig": body})
    limits = {key: body[key] for key in _LIMITS if body.get(key)}
    if body.get("PidsLimit") is not None:
        limits["PidsLimit"] = body["PidsLimit"]
    what = f"Cannot update container {id}"
    for new, old, text in _EITHER:
        if (limits.get(new) or 0) > 0 and (host.get(old) or 0) > 0:
            raise Conflict(f"{what}: Conflicting options: {text}")
    swap = host.get("MemorySwap") or 0
    if 0 < swap < limits.get("Memory", 0) and "MemorySwap" not in limits:
        raise Conflict(
            f"{what}: Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    found = {**host, **limits}
    policy = body.get("RestartPolicy") or {}
    if policy.get("Name"):
        if host.get("AutoRemove") and policy["Name"] != "no":
            raise InvalidArgument(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
        found["RestartPolicy"] = dict(policy)
        RestartPolicy.of(found)
    check_cpus(resources(found))
    return found, bool(limits)
