"""Finding a running platform that is not where its name says.

`up --run DIR` or `--state DIR` puts a platform's files elsewhere. Its daemon then leaves a pointer in
the directory where they are looked for by default, so that OUT/bin/NAME, `status`, `down`, `logs` and
the next `up` of the same OUT find it without being told again:

    RUN/elsewhere/<digest of OUT's path>.json    {"directory": OUT, "state": ..., "run": ...}

The pointer goes when the platform has been stopped. It stays after a crash, and after
`down --keep-containers`: the next `up` goes on there. Nothing is written into OUT, which can be copied.
For those who only look, a platform that root started from the same OUT counts too (`anyones`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from moby_py.directories import run_dir, user_id
from moby_py.errors import MobyError

SYSTEM = Path("/run/moby-py")
_NAME = re.compile(r"""^name:[ ]*["']?([^"'\n#]+?)["']?[ ]*(?:#.*)?$""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one platform's state and run-time files are."""

    state: Path
    run: Path


def find(out: Path, name: str, *, anyones: bool = False) -> Place | None:
    """The place of the platform of `out`; None where the directories of its name hold good."""
    own = run_dir(name)
    found = _pointed(own, out)
    if found is None and anyones and user_id() != 0 and not (own / "daemon.json").exists():
        system = SYSTEM / name
        found = _pointed(system, out) or _described(system / "daemon.json", out)
    return found


def leave(out: Path, name: str, place: Place) -> Path:
    """Write the pointer; returns its path. Raises OSError."""
    path = _pointer(run_dir(name), out)
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    partial = path.with_suffix(".new")
    text = {"directory": os.path.realpath(out), "state": str(place.state), "run": str(place.run)}
    partial.write_text(json.dumps(text), encoding="utf-8")
    partial.rename(path)
    return path


def forget(pointer: Path) -> None:
    """Remove a pointer, and the directories that were made for it. Nothing where it is gone."""
    pointer.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        pointer.parent.rmdir()
        pointer.parent.parent.rmdir()


def platform_name(directory: str | Path) -> str:
    """The platform's name, without a YAML parser: `build` writes one plain `name:` line. Raises
    MobyError where there is no platform."""
    try:
        text = (Path(directory) / "platform.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    found = _NAME.search(text)
    if not found:
        there = Path(directory).exists()
        raise MobyError(
            f"{directory} is not a platform directory - "
            + ("it has no platform.yaml with a name" if there else "there is no such directory"),
            hint=f"moby-py build blueprint.yaml -o {directory}",
        )
    return found[1]


def _pointer(base: Path, out: Path) -> Path:
    from hashlib import sha256

    digest = sha256(os.fsencode(os.path.realpath(out))).hexdigest()
    return base / "elsewhere" / f"{digest[:16]}.json"


def _pointed(base: Path, out: Path) -> Place | None:
    if not (base / "elsewhere").is_dir():
        return None
    return _described(_pointer(base, out), out)


def _described(file: Path, out: Path) -> Place | None:
    """What a pointer or a daemon's record says, if it is about `out` and its place still exists."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        place = Place(state=Path(said["state"]), run=Path(said["run"]))
        same = os.path.realpath(said["directory"]) == os.path.realpath(out)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return place if same and place.run.is_dir() else None
