"""`image from-host PROGRAM...`: something to run on a machine that has no network and no image.

The programs keep the paths they have here. Owners are root, set-id bits are dropped, and the little
that every program expects is there: /tmp, /etc/passwd, a PATH. Of busybox all its applets become
links, so that one program makes a usable system.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby_components.common.tree.tarring import END, Member, header, padding
from moby_components.image_store.overlay.archive.streams import from_writer
from moby_components.image_store.overlay.host.closure import Closure, closure_of
from moby_components.image_store.overlay.threads import in_thread
from moby_py.errors import InvalidArgument

if TYPE_CHECKING:
    from moby_py.kinds import ImageStore
    from moby_py.model import ImageRecord

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FOLDERS = {
    "dev": 0o755,
    "etc": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "var": 0o755,
    "var/tmp": 0o1777,
}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_APPLETS_TIMEOUT = 10.0


async def from_host(store: ImageStore, programs: Sequence[str], reference: str) -> ImageRecord:
    """Through the store's own `import_`. Raises NotFound, InvalidArgument."""
    if not programs:
        raise InvalidArgument("nothing to put into the image - no program was named")
    closure = await in_thread(closure_of, programs)
    for program in closure.programs:
        if Path(program).name == "busybox":
            await _applets(program, closure)
    names = {Path(program).name: program for program in closure.programs}
    command = names.get("sh") or next((p for p in closure.links if p.endswith("/bin/sh")), "")
    config: dict[str, Any] = {"Env": [_PATH], "Cmd": [command or closure.programs[0]], "WorkingDir": "/"}
    message = "from this host: " + " ".join(programs)
    return await store.import_(
        from_writer(lambda write: _write(closure, write)),
        reference=reference,
        config=config,
        message=message,
    )


async def _applets(busybox: str, closure: Closure) -> None:
    """Links beside it for everything it can be called as."""
    process = await asyncio.create_subprocess_exec(
        busybox, "--list", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_APPLETS_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return
    real = os.path.realpath(busybox)
    folder = str(Path(real).parent)
    for name in output.decode("ascii", "ignore").split():
        link = f"{folder}/{name}"
        if "/" not in name and link not in closure.files:
            closure.links.setdefault(link, Path(real).name)
    # Where /bin is a directory of its own, programs still expect /bin/sh.
    if folder != "/bin" and "/bin" not in closure.links:
        closure.links["/bin/sh"] = real


def _write(closure: Closure, write: Callable[[bytes], object]) -> None:
    """A tar in a fixed order: directories, links, files."""
    folders = dict(_FOLDERS)
    for path in (*closure.files, *closure.links):
        for parent in Path(path.lstrip("/")).parents:
            if str(parent) != ".":
                folders.setdefault(str(parent), 0o755)
    for path, target in closure.links.items():
        if path.count("/") == 1 and not target.startswith("/"):
            for folder in (Path(target), *Path(target).parents):
                if str(folder) != ".":
                    folders.setdefault(str(folder), 0o755)
    write(header(Member(name=b"./", type=b"5", mode=0o755)))
    for name, mode in sorted(folders.items()):
        if f"/{name}" not in closure.links:
            write(header(Member(name=os.fsencode(name) + b"/", type=b"5", mode=mode)))
    for path, target in sorted(closure.links.items()):
        member = Member(name=os.fsencode(path.lstrip("/")), type=b"2", mode=0o777, link=os.fsencode(target))
        write(header(member))
    for name, text in sorted(_FILES.items()):
        data = text.encode()
        write(header(Member(name=name.encode(), size=len(data))) + data + padding(len(data)))
    for path in sorted(closure.files):
        _write_file(path, write)
    write(END)


def _write_file(path: str, write: Callable[[bytes], object]) -> None:
    with Path(path).open("rb") as file:
        found = os.fstat(file.fileno())
        member = Member(
            name=os.fsencode(path.lstrip("/")),
            mode=stat.S_IMODE(found.st_mode) & 0o755,
            size=found.st_size,
            mtime=int(found.st_mtime),
        )
        write(header(member))
        left = found.st_size
        while left:
            piece = file.read(min(left, 1 << 20)) or b"\0" * min(left, 1 << 20)
            left -= len(piece)
            write(piece)
        write(padding(found.st_size))
