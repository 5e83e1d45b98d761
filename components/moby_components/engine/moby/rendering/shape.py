"""The JSON types of a create body. Docker's own decoder refuses others before anything else, and
what came in goes out again by inspect and ps, where one wrong type makes every client fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moby_py.errors import InvalidArgument

_LARGEST = (1 << 63) - 1
_BODY = {
    "text": "Hostname Domainname User Image WorkingDir MacAddress StopSignal",
    "true or false": "AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce NetworkDisabled",
    "a whole number": "StopTimeout",
    "a list of texts": "Env OnBuild Shell",
    "a text or a list of texts": "Cmd Entrypoint",
    "an object of texts": "Labels",
    "an object": "Volumes ExposedPorts Healthcheck HostConfig NetworkingConfig",
}
_HOST = {
    "text": "NetworkMode PidMode IpcMode UTSMode UsernsMode CgroupnsMode Cgroup CgroupParent Runtime "
    "CpusetCpus CpusetMems VolumeDriver Isolation ContainerIDFile",
    "true or false": "AutoRemove Privileged PublishAllPorts ReadonlyRootfs OomKillDisable Init",
    "a whole number": "Memory MemoryReservation MemorySwap MemorySwappiness KernelMemory NanoCpus CpuShares "
    "CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuCount CpuPercent PidsLimit BlkioWeight "
    "ShmSize OomScoreAdj",
    "a list of texts": "Binds CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt "
    "VolumesFrom DeviceCgroupRules MaskedPaths ReadonlyPaths",
    "a list of objects": "Mounts Devices Ulimits DeviceRequests BlkioWeightDevice BlkioDeviceReadBps "
    "BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps",
    "an object of texts": "Tmpfs Sysctls StorageOpt Annotations",
    "an object": "PortBindings RestartPolicy LogConfig",
}


def check_shape(body: Mapping[str, Any]) -> None:
    """Raises InvalidArgument naming the field. Absent and null are always right; so is what this
    version does not know."""
    _fields(body, _BODY, "")
    _fields(body.get("HostConfig") or {}, _HOST, "HostConfig.")
    endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig")
    _fields({"EndpointsConfig": endpoints}, {"an object": "EndpointsConfig"}, "NetworkingConfig.")


def check_volume_shape(name: Any, driver: Any, options: Any, labels: Any) -> None:
    """The same for a volume's four fields."""
    values = {"Name": name, "Driver": driver, "DriverOpts": options, "Labels": labels}
    _fields(values, {"text": "Name Driver", "an object of texts": "DriverOpts Labels"}, "")


def _fields(values: Mapping[str, Any], table: Mapping[str, str], where: str) -> None:
    for wanted, names in table.items():
        for name in names.split():
            value = values.get(name)
            if value is not None and not _is(value, wanted):
                raise InvalidArgument(f"invalid {where}{name} - it must be {wanted}")


def _is(value: Any, wanted: str) -> bool:
    match wanted:
        case "text":
            return isinstance(value, str)
        case "true or false":
            return isinstance(value, bool)
        case "a whole number":
            return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST
        case "an object":
            return isinstance(value, Mapping)
        case "an object of texts":
            return isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
        case "a list of objects":
            return isinstance(value, list | tuple) and all(isinstance(v, Mapping) for v in value)
    if wanted == "a text or a list of texts" and isinstance(value, str):
        return True
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
