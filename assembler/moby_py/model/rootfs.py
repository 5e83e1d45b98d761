"""A container's root filesystem as an image store hands it over."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FsMount:
    """One mount in OCI/containerd form. Not mounted yet: whoever runs the container mounts it."""

    type: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFS:
    """How to get a container's root.

    `mounts`, applied in order on one directory, give the tree. `path` is that directory once the
    engine has mounted them (runtimes with `rootfs_form = "path"`); a runtime of the form "mounts"
    (containerd tasks) gets them unmounted, one of the form "image" (CRI) only `image`.
    """

    image: str
    mounts: tuple[FsMount, ...] = ()
    path: str = ""
