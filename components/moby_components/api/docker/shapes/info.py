"""GET /info: the facts about the host and this API. What the engine knows goes over it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from platform import freedesktop_os_release
from typing import Any

from moby_components.api.docker import times
from moby_py.component import PlatformInfo


def host_facts(
    platform: PlatformInfo, *, driver: str, images: int, networks: Sequence[str]
) -> dict[str, Any]:
    """All fields of SystemInfo, so that no client misses one."""
    host = os.uname()
    return {
        "ID": platform.name,
        "Containers": 0,
        "ContainersRunning": 0,
        "ContainersPaused": 0,
        "ContainersStopped": 0,
        "Images": images,
        "Driver": driver,
        "DriverStatus": [],
        "Plugins": {
            "Volume": ["local"],
            "Network": list(networks),
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        "MemoryLimit": True,
        "SwapLimit": True,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": True,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "OomKillDisable": True,
        "Debug": False,
        "NFd": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": times.now(),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "1",
        "KernelVersion": host.release,
        "OperatingSystem": operating_system(),
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": host.machine,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "GenericResources": None,
        "DockerRootDir": str(platform.state),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": host.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": platform.version,
        "Runtimes": {},
        "DefaultRuntime": "",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": "", "Expected": ""},
        "RuncCommit": {"ID": "", "Expected": ""},
        "InitCommit": {"ID": "", "Expected": ""},
        "SecurityOptions": ["name=rootless"] if platform.rootless else [],
        "Warnings": None,
    }


def operating_system() -> str:
    try:
        return freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return f"Linux ({sys.platform})"
