"""From a `ContainerSpec` to the OCI runtime specification's config.json, as Docker would write it.

    host = HostFacts.detect(rootless=False)              # once per daemon
    user = resolve(rootfs, process.user, process.groups) # common.users
    config = build(spec, rootfs, sandbox, user, host, Placement(...))

Spec: https://github.com/opencontainers/runtime-spec (1.0.2, which runc, crun and runsc of 2022 and
later all read). Nothing here starts a process, mounts or writes; what the host cannot do is left
out and told to `Placement.warn`, as Docker tells "kernel does not support ..., discarded".
"""

from moby_components.common.ocispec.config import Placement, build
from moby_components.common.ocispec.host import HostFacts
from moby_components.common.ocispec.process import build_process
from moby_components.common.ocispec.resources import build_resources

__all__ = ["HostFacts", "Placement", "build", "build_process", "build_resources"]
