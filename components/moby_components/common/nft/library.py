"""libnftables by ctypes, or the `nft` program where only that is installed."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
from types import TracebackType

from moby_py.errors import HostError, MobyError

_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"


class NftError(MobyError):
    """nftables refused a script; the message ends with its own words."""


class Nft:
    """A context of the network namespace that the calling thread is in; used from that thread only.
    Raises HostError where neither the library nor the program is there."""

    def __init__(self) -> None:
        self._library = _load()
        self._context: int | None = None
        self._program: str | None = None
        if self._library is None:
            self._program = shutil.which("nft", path=_SBIN)
            if self._program is None:
                raise HostError(
                    "nftables is not installed - neither libnftables.so.1 nor the program nft was found",
                    hint="apt-get install libnftables1",
                )
            return
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise HostError("libnftables cannot be used - it gives no context")
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> Nft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._library is not None and self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, script: str) -> str:
        """Run `script` whole or not at all; what it printed. Raises NftError."""
        if self._library is None:
            return self._start(script)
        status = self._library.nft_run_cmd_from_buffer(self._context, script.encode())
        out = self._library.nft_ctx_get_output_buffer(self._context) or b""
        said = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if status != 0:
            raise NftError(f"nftables refused - {_first(said)}")
        return bytes(out).decode(errors="replace")

    def _start(self, script: str) -> str:
        done = subprocess.run(
            [str(self._program), "-f", "-"],
            input=script.encode(),
            capture_output=True,
            timeout=60,
            env={"PATH": _SBIN, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode != 0:
            raise NftError(f"nftables refused - {_first(done.stderr)}")
        return done.stdout.decode(errors="replace")


def available() -> bool:
    """Whether there is a library or a program."""
    return _load() is not None or shutil.which("nft", path=_SBIN) is not None


@functools.cache
def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = (ctypes.c_uint32,)
    for name in ("nft_ctx_free", "nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
    library.nft_ctx_free.restype = None
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return library


def _first(said: bytes) -> str:
    """The first error of many lines, without "Error: " and the marker line."""
    lines = said.decode(errors="replace").strip().splitlines() or ["it does not say why"]
    return lines[0].split("Error: ", 1)[-1]
