"""The store inside a user namespace, run by test_overlay_rootless in a process of an ordinary user.

    python rootless_child.py ROOT ARCHIVE [plain]    (stdin: a byte once the ids are mapped)

Makes the namespaces itself, loads the archive, prepares, mounts, changes, commits, cleans up; prints
one JSON object.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import sys
from pathlib import Path

from components.image_store.rooms import mounted, opened, single, stream, tree

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000


async def main(root: Path, archive: Path) -> dict[str, object]:
    async with opened(root, rootless=True) as store:
        image = single(await store.load(stream(archive.read_bytes())))
        rootfs = await store.prepare(image.id, "c")
        with mounted(rootfs, root / "merged") as merged:
            found = {path: repr(entry[:5] + entry[6:]) for path, entry in tree(merged).items()}
            capable = (
                os.getxattr(merged / "capable", "security.capability").hex() if "capable" in found else ""
            )
            (merged / "opq/shown").unlink()
            (merged / "opq").rmdir()
            (merged / "opq").mkdir()
            (merged / "opq/mine").write_bytes(b"1")
            (merged / "empty").unlink()
        changes = [(change.path, change.kind) for change in await store.changes("c")]
        made = await store.commit("c", image=image.id)
        with mounted(await store.prepare(made.id, "d"), root / "merged") as merged:
            again = sorted(path for path in tree(merged) if path.startswith(("opq", "empty")))
        await store.release("c")
        await store.release("d")
        await store.remove(made.id)
        await store.remove(image.id, force=True)
        (root / "merged").rmdir()
        return {
            "mode": store.describe(),
            "options": rootfs.mounts[0].options,
            "tree": found,
            "capable": capable,
            "changes": changes,
            "again": again,
        }


async def plain(root: Path, archive: Path) -> dict[str, object]:
    """No namespace and no privilege: a copied root, looked at where it is."""
    async with opened(root) as store:
        image = single(await store.load(stream(archive.read_bytes())))
        rootfs = await store.prepare(image.id, "c")
        own = Path(rootfs.mounts[0].source)
        found = {path: repr(entry[:5] + entry[6:]) for path, entry in tree(own).items()}
        (own / "kind/inside").write_bytes(b"changed")
        changes = [(change.path, change.kind) for change in await store.changes("c")]
        await store.release("c")
        await store.remove(image.id)
        return {"mode": store.describe(), "type": rootfs.mounts[0].type, "tree": found, "changes": changes}


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if len(sys.argv) > 3:
        print(json.dumps(asyncio.run(plain(Path(sys.argv[1]), Path(sys.argv[2])))))
        sys.exit(0)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    print("unshared", flush=True)
    sys.stdin.read(1)
    os.setgid(0)
    os.setuid(0)
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))))
