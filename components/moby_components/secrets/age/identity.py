"""The identity that opens the secrets: read with care, or made on first use."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from moby_py.errors import MobyError

if TYPE_CHECKING:
    from pyrage import x25519

MAX_FILE = 64 << 10


def load_or_make(path: Path, *, make: bool) -> x25519.Identity:
    """The first age identity in `path`; with `make`, a missing file is created (0600).

    The file may have comments, as age-keygen writes them. Raises MobyError when it is missing,
    open to others, or holds no identity; no message contains any of its text.
    """
    from pyrage import x25519

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if not make:
            raise MobyError(
                f"cannot open the age identity {path} - no such file", hint=f"age-keygen -o {path}"
            ) from None
        return _make(path)
    except OSError as error:
        raise MobyError(f"cannot open the age identity {path} - {error.strerror}") from None
    with os.fdopen(fd, encoding="ascii", errors="replace") as file:
        facts = os.fstat(file.fileno())
        mode = stat.S_IMODE(facts.st_mode)
        if mode & 0o077:
            raise MobyError(
                f"refusing the age identity {path} - others can read it (mode {mode:04o})",
                hint=f"chmod 600 {path}",
            )
        text = file.read(MAX_FILE)
    for line in text.splitlines():
        if line.startswith("AGE-SECRET-KEY-1"):
            try:
                return x25519.Identity.from_str(line.strip())
            except Exception:  # the binding's own error may quote the key
                break
    raise MobyError(
        f"the age identity {path} holds no usable key - expected a line AGE-SECRET-KEY-1...",
        hint="age-keygen makes one",
    )


def _make(path: Path) -> x25519.Identity:
    from pyrage import x25519

    identity = x25519.Identity.generate()
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(f"# public key: {identity.to_public()}\n{identity}\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    return identity
