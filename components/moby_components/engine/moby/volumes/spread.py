"""How mounts are shared between a bind and its source, and what the source must be for that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moby_components.engine.moby.rendering.mounts import MountPlan
from moby_py.errors import InvalidArgument

SHARED, SLAVE = ("shared", "rshared"), ("slave", "rslave")


def settled(plan: MountPlan, roots: tuple[Path, ...]) -> MountPlan:
    """The bind with its propagation decided. One that holds the platform's own folders (`-v /:/host`)
    must see them unmounted, else removed containers live on in it. Raises InvalidArgument."""
    source = Path(plan.source)
    root = next((r for r in roots if r.is_relative_to(source) or source.is_relative_to(r)), None)
    if root is None or plan.propagation in ("rslave", "rshared"):
        return plan
    if plan.usual:
        return replace(plan, propagation="rslave")
    raise InvalidArgument(
        'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is '
        f'within the daemon root, daemon root: "{root}", bind mount source: "{source}", '
        f'propagation: "{plan.propagation}"'
    )


def checked(plan: MountPlan, source: int) -> str:
    """The propagation that an opened source can have. Raises InvalidArgument in Docker's words."""
    if plan.propagation not in SHARED + SLAVE:
        return plan.propagation
    place, fields = _mount_of(source)
    shared, slave = any(f.startswith("shared:") for f in fields), any(f.startswith("master:") for f in fields)
    if plan.propagation in SHARED and not shared:
        raise InvalidArgument(f"path {plan.source} is mounted on {place} but it is not a shared mount")
    if plan.propagation in SLAVE and not (shared or slave):
        if plan.usual:
            return "rprivate"
        raise InvalidArgument(
            f"path {plan.source} is mounted on {place} but it is not a shared or slave mount"
        )
    return plan.propagation


def _mount_of(source: int) -> tuple[str, list[str]]:
    """(where it is mounted, the optional fields of its line in mountinfo)."""
    about = Path(f"/proc/self/fdinfo/{source}").read_text(encoding="ascii")
    wanted = next(line.split()[1] for line in about.splitlines() if line.startswith("mnt_id:"))
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        if fields[0] == wanted:
            return fields[4], fields[6 : fields.index("-")]
    return "nowhere", []
