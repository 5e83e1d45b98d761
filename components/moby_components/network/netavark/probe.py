"""Whether aardvark serves a name yet.

netavark returns once it has sent aardvark a signal, or started it: the name is there some milliseconds
later. A container's first question would come too early now and then, so an attach asks it first, as
the container would: aardvark goes by the address that a question comes from.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time

PATIENCE = 3.0
_A, _AAAA, _IN, _RECURSE = 1, 28, 1, 0x100
_HEADER = struct.Struct("!6H")


def served(server: str, name: str, *, ipv6: bool) -> bool:
    """Ask until the name is known, at most three seconds. In the namespace of the calling thread."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = labels + b"\0" + struct.pack("!2H", _AAAA if ipv6 else _A, _IN)
    end = time.monotonic() + PATIENCE
    pause = 0.002
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((server, 53))
        while time.monotonic() < end:
            asker.settimeout(0.1)
            with contextlib.suppress(OSError):  # refused or silent: it is not there yet
                asker.send(_HEADER.pack(1, _RECURSE, 1, 0, 0, 0) + question)
                answer = asker.recv(4096)
                if len(answer) >= _HEADER.size and _HEADER.unpack_from(answer)[3]:
                    return True
            time.sleep(pause)
            pause = min(0.1, pause * 2)
    return False
