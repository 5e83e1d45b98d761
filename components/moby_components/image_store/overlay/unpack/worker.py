"""One layer unpacked in a process of its own: the interpreter lock and the memory are not the daemon's.

    python -I -c 'sys.path = this process's; main()'   < job

stdin: one line of JSON, then nothing for as long as the daemon lives. Its end is the end of the
daemon, and this process must not outlive it: the next daemon sweeps the directory written here.
stdout: one JSON object, {"facts": {...}} or {"error": CLASS, "message": TEXT, "hint": TEXT|null}.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from moby_components.common.tree.limits import Limits
from moby_components.image_store.overlay.unpack.extract import unpack
from moby_py import errors

_CODE = (
    "import sys; sys.path[:] = sys.argv[1:];"
    "from moby_components.image_store.overlay.unpack.worker import run; run()"
)


def command() -> list[str]:
    """The argv: isolated from environment and working directory, but finding the same modules."""
    return [sys.executable, "-I", "-c", _CODE, *(path for path in sys.path if path)]


def encode_job(blob: Path, target: Path, *, limits: Limits, what: str, rootless: bool) -> bytes:
    """The line a worker reads."""
    job = {
        "blob": str(blob),
        "target": str(target),
        "limits": limits.as_json(),
        "what": what,
        "rootless": rootless,
    }
    return json.dumps(job).encode() + b"\n"


def decode_error(answer: dict[str, Any]) -> errors.MobyError:
    """The worker's exception, as it would have been raised here."""
    kinds = {"DataError": errors.DataError, "Unavailable": errors.Unavailable}
    kind = kinds.get(str(answer.get("error")), errors.DataError)
    return kind(str(answer.get("message")), hint=answer.get("hint"))


def _die_with_the_daemon() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def main() -> int:
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            return 1
        line += piece
    job = json.loads(line)
    threading.Thread(target=_die_with_the_daemon, daemon=True).start()
    try:
        facts = unpack(
            Path(job["blob"]),
            Path(job["target"]),
            limits=Limits(**job["limits"]),
            what=job["what"],
            rootless=job["rootless"],
        )
    except errors.MobyError as error:
        answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        sys.stdout.write(json.dumps(answer))
    else:
        sys.stdout.buffer.write(b'{"facts": ' + facts.dumps() + b"}")
    sys.stdout.flush()
    return 0


def run() -> None:
    """`main`, then out: the watching thread sits in a read that never ends and is not waited for."""
    status = main()
    sys.stdout.flush()
    os._exit(status)
