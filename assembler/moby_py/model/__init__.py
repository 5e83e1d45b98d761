"""The values that travel between kinds: immutable, in the field's words, bound to no component."""

from moby_py.model.container import ContainerIO, ContainerSpec, Device, Mount, ProcessSpec, Rlimit
from moby_py.model.engine import (
    AttachOptions,
    Container,
    ContainerState,
    Created,
    ExecInstance,
    Health,
    LogLine,
    LogOptions,
    PathStat,
    Volume,
)
from moby_py.model.event import Event
from moby_py.model.image import (
    Change,
    CollectReport,
    ImageRecord,
    Progress,
    ProgressSink,
    RegistryAuth,
    RemovedImage,
    StoreUsage,
)
from moby_py.model.network import Attachment, AttachRequest, Endpoint, NetworkRecord, PortBinding, Sandbox
from moby_py.model.resources import Resources, ThrottleDevice
from moby_py.model.rootfs import FsMount, RootFS
from moby_py.model.secret import SecretRecord
from moby_py.model.task import (
    BlockIO,
    ExitStatus,
    InterfaceStats,
    ProcessTable,
    RuntimeInfo,
    Stats,
    Status,
    Streams,
    TaskState,
)

__all__ = [
    "AttachOptions",
    "AttachRequest",
    "Attachment",
    "BlockIO",
    "Change",
    "CollectReport",
    "Container",
    "ContainerIO",
    "ContainerSpec",
    "ContainerState",
    "Created",
    "Device",
    "Endpoint",
    "Event",
    "ExecInstance",
    "ExitStatus",
    "FsMount",
    "Health",
    "ImageRecord",
    "InterfaceStats",
    "LogLine",
    "LogOptions",
    "Mount",
    "NetworkRecord",
    "PathStat",
    "PortBinding",
    "ProcessSpec",
    "ProcessTable",
    "Progress",
    "ProgressSink",
    "RegistryAuth",
    "RemovedImage",
    "Resources",
    "Rlimit",
    "RootFS",
    "RuntimeInfo",
    "Sandbox",
    "SecretRecord",
    "Stats",
    "Status",
    "StoreUsage",
    "Streams",
    "TaskState",
    "ThrottleDevice",
    "Volume",
]
