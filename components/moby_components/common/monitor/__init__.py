"""The client of a container's monitor: the process that outlives the daemon and holds the stdio.

The protocol is conmon's (2.1.x), on disk, one directory per process; whoever writes the same files
(our bubblewrap monitor does) is served by the same client. `D` is RUN/runtime/<id>/<container id>/
for a container's first process and `D/exec/<exec id>/` for an exec::

    D/pidfile          decimal host pid of the process; there once it exists (conmon -p)
    D/conmon.pid       decimal pid of the monitor, which is nobody's child of ours (conmon -P)
    D/exit/<name>      decimal exit code, 128+N for signal N; written (by rename) when the last byte
                       of output is in the log, just before the monitor ends. <name> is the container
                       id, for an exec as well (conmon --exit-dir D/exit -c <container id>)
    D/oom              empty marker: the kernel killed something here for memory (conmon's cwd is D)
    D/attach           SOCK_SEQPACKET listener, 0700 (conmon --full-attach -b D)
    D/ctl              fifo, lines of three decimals and a newline, at most 199 bytes:
                           "1 HEIGHT WIDTH\\n"   resize the terminal (0..1000 each)
                           "2 0 0\\n"            close and open the log file again (after a rename)
    D/winsz            fifo that conmon feeds from ctl itself ("HEIGHT WIDTH\\n"); no client uses it
    D/task.json        ours, not conmon's: written last, with the pids' start times. A directory
                       without it is half-made, and `scan` says so.

One packet on `attach` to the client is one byte (2 stdout, 3 stderr; with a terminal always 2) and
up to 8192 (newer: 32768) bytes of output. To the monitor it is raw input of at most 32768 bytes (a
longer packet would be cut short by the monitor's read). `shutdown(SHUT_WR)`, or closing, ends the
input: the monitor closes the process's stdin then, unless it runs with --leave-stdin-open. A monitor
without a stdin (no -i) must never be written to: it would stop reading the connection for ever.

The end: the monitor closes all sockets, writes the exit file and exits. `Task.wait` waits on a pidfd
of the monitor (checked against reuse by start time) and then reads the exit file: no polling.
"""

from moby_components.common.monitor.identity import Identity
from moby_components.common.monitor.layout import TaskDir
from moby_components.common.monitor.scan import scan
from moby_components.common.monitor.streams import AttachStreams, connect
from moby_components.common.monitor.task import Task

__all__ = ["AttachStreams", "Identity", "Task", "TaskDir", "connect", "scan"]
