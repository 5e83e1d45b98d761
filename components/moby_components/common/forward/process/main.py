"""What the process is made of, put together: `main(["SOCKET"])`."""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import traceback
from pathlib import Path

from .control import Control
from .harden import harden, raise_open_files
from .loop import Loop
from .ports import Ports
from .tcp import Ledger
from .worlds import Worlds


def main(argv: list[str]) -> None:
    """Listen on SOCKET (argv[0]) until a signal; argv[1], when given, is the seconds after which an
    unused UDP flow is forgotten."""
    with contextlib.suppress(OSError):
        os.setsid()  # already the leader of a session
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: end(argv[0]))
    os.chdir("/")
    control = listen(argv[0])
    open_files = raise_open_files()
    harden()
    worlds = Worlds()
    loop = Loop()
    ports = Ports(loop, worlds, Ledger(open_files), udp_idle=float(argv[1]) if len(argv) > 1 else 90.0)
    Control(loop, control, ports)

    def run() -> None:
        try:
            loop.run()
        except BaseException:  # whoever keeps us starts another
            traceback.print_exc()
        os._exit(1)

    _thread.start_new_thread(run, ())
    worlds.serve_home()


def end(path: str) -> None:
    """Leave no socket behind."""
    Path(path).unlink(missing_ok=True)
    os._exit(0)


def listen(path: str) -> socket.socket:
    """The control socket, mode 0600. One that a killed forwarder left is replaced."""
    fresh = f"{path}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    mask = os.umask(0o177)
    try:
        listener.bind(fresh)
    finally:
        os.umask(mask)
    listener.listen(16)
    Path(fresh).rename(path)  # whoever finds the path can connect
    return listener
