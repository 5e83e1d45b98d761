"""The process: `__main__.py --socket PATH [--resolv-conf PATH]`."""

from __future__ import annotations

import gc
import os
import signal
import sys

from moby_components.common.dns.process.control import Control
from moby_components.common.dns.process.harden import harden
from moby_components.common.dns.process.loop import Loop
from moby_components.common.dns.process.server import Server
from moby_components.common.dns.process.upstream import PATH, Host


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM. `arguments` are our handle's, so they are not argued with."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    path = options["--socket"]
    host = Host(options.get("--resolv-conf", PATH))
    loop = Loop()
    control = Control(path, loop)
    control.server = Server(loop, control.say, host)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop.complain = lambda error: control.say(_described(error))
    harden()
    gc.freeze()
    try:
        loop.run()
    finally:
        try:
            os.unlink(path)
        except OSError:
            pass
    return 0


def _described(error: Exception) -> str:
    """A mistake of ours and where it was made, in one line."""
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "somewhere"
    return f"{type(error).__name__} at {place} - {error}"
