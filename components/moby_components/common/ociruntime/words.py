"""The last words of a runtime, in the spelling that `docker run` picks 126 and 127 by.

runc and runsc speak Go ("no such file or directory"), crun speaks C ("No such file or directory")
and has sentences of its own for a missing executable.
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path

_LARGEST_LOG = 1 << 16
_PREFIX = re.compile(
    r"^(runc|runsc|crun|youki)?( ?(create|start|run|exec) failed)?: ?(unable to start container process: )?"
    r"|^exec failed: (unable to start container process: )?"
)
_NOT_FOUND = re.compile(r"executable file [`'\"](?P<name>.*)[`'\"] not found(?: in \$PATH)?", re.S)
_NOT_ALLOWED = re.compile(r"open executable: (Operation not permitted|Permission denied)", re.I)
_SPELLING = {
    os.strerror(code): os.strerror(code).lower() for code in (errno.ENOENT, errno.EACCES, errno.ENOTDIR)
}


def last_words(log: Path, otherwise: str = "") -> str:
    """The last error in a runtime's JSON log; `otherwise`, cleaned, when there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LARGEST_LOG))
            lines = file.read(_LARGEST_LOG).splitlines()
    except OSError:
        lines = []
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal", "panic") and entry.get("msg"):
            return str(entry["msg"]).strip()
    return _bare(otherwise)


def spelled(words: str, command: str) -> str:
    """`words` about starting `command`, in runc's spelling; everything else as it was said."""
    missing = _NOT_FOUND.search(words)
    if missing and "/" in missing["name"]:
        return f'exec: "{missing["name"]}": stat {missing["name"]}: no such file or directory'
    if missing:
        return f'exec: "{missing["name"]}": executable file not found in $PATH'
    if _NOT_ALLOWED.search(words):
        return f'exec: "{command}": permission denied'
    words = _PREFIX.sub("", words, count=1)
    for spelling, ours in _SPELLING.items():
        words = words.replace(spelling, ours)
    return words


def _bare(text: str) -> str:
    """Of a program's stderr: its last line, without logrus' or glog's decoration."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return ""
    last = lines[-1].strip()
    quoted = re.search(r'\bmsg="((?:[^"\\]|\\.)*)"', last)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    return re.sub(r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] (FATAL ERROR: )?", "", last)
