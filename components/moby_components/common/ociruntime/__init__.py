"""Every OCI command-line runtime is this one implementation; what differs is declared.

`runtime.py` is the contract, method by method, on `base.py`; `creation.py` and `execution.py` start processes
under conmon; `cli.py` speaks to the runtime program; `clearing.py` leaves nothing behind. A new
runtime is a subclass with a `binary`, its `features`, and `arguments` where it needs some.

    RUN/.root/                 the runtime's own state (--root)
    RUN/<container id>/        the bundle and the monitor's files (common.monitor)
        config.json            the rendering, 0600
        runtime.log            the runtime's last words, JSON lines
        started, paused        markers of ours
        exec/<exec id>/        process.json and the same files again
"""

from moby_components.common.ociruntime.base import CONMON
from moby_components.common.ociruntime.runtime import OciRuntime

__all__ = ["CONMON", "OciRuntime"]
