"""What GET /info asks that only the engine knows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.rendering.logconfig import DRIVERS
from moby_components.engine.moby.rendering.namespaces import unified_cgroups
from moby_py.errors import MobyError
from moby_py.kinds import VolumeDriver

_LIMITS = (
    "memory limit",
    "swap limit",
    "cpu cfs quota",
    "cpu cfs period",
    "cpu shares",
    "cpuset",
    "pids limit",
)


async def info(core: Core) -> Mapping[str, Any]:
    """In the API's field names."""
    states = [entry.record.status for entry in core.entries.values()]
    runtimes: dict[str, dict[str, Any]] = {}
    warnings = []
    for name, runtime in core.runtimes.items():
        try:
            found = await runtime.fingerprint()
            runtimes[name] = {"path": found.path or found.name, "runtimeArgs": []}
        except MobyError as error:
            runtimes[name] = {"path": ""}
            warnings.append(f"WARNING: runtime {name}: {error}")
    features = await core.features_here(*next(iter(core.runtimes.items())))
    if "cgroups" not in features:
        warnings += [f"WARNING: No {what} support" for what in _LIMITS]
    host = os.uname()
    limits = "cgroups" in features
    return {
        "Containers": len(states),
        "ContainersRunning": states.count("running") + states.count("restarting"),
        "ContainersPaused": states.count("paused"),
        "ContainersStopped": len(states) - sum(states.count(s) for s in ("running", "restarting", "paused")),
        "Images": len(await core.store.list()),
        "Driver": core.store.name,
        "Runtimes": runtimes,
        "DefaultRuntime": next(iter(core.runtimes)),
        "CgroupVersion": "2" if unified_cgroups() else "1",
        "CgroupDriver": "cgroupfs" if limits else "none",
        "MemoryLimit": limits,
        "SwapLimit": limits,
        "CpuCfsPeriod": limits,
        "CpuCfsQuota": limits,
        "CPUShares": limits,
        "CPUSet": limits,
        "PidsLimit": limits,
        "LoggingDriver": core.context.options.get("log_driver") or "json-file",
        "Plugins": {
            "Volume": sorted(core.context.wiring.all(VolumeDriver)),
            "Network": sorted(
                {word for c in core.networks.components.values() for word in (*c.drivers, c.name)}
            ),
            "Authorization": None,
            "Log": list(DRIVERS),
        },
        "KernelVersion": host.release,
        "Architecture": host.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "DockerRootDir": str(core.context.platform.state),
        "SecurityOptions": [
            *(["name=seccomp,profile=builtin"] if "seccomp" in features else []),
            *(["name=rootless"] if core.context.platform.rootless else []),
        ],
        "Warnings": warnings,
    }
