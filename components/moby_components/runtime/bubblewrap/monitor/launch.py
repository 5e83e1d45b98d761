"""The monitor's life: read the plan, leave the daemon, make the process, say so, hold it, tell its end."""

from __future__ import annotations

import marshal
import os
import sys

from .create import Process, create
from .join import join
from .lean import Any, Socket, accept, signals
from .log import Log
from .report import explain, receive, send
from .stdio import STDERR, STDOUT, Stdio, listen


def main() -> None:
    """The plan is on standard input; the answer goes to standard output when the process waits to be
    started: {"pid": N}, or {"error": text, "kind": ...} (and then nothing is left). Both marshalled."""
    plan = marshal.loads(sys.stdin.buffer.read())
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.setsid()
        for number in (signals.SIGHUP, signals.SIGINT, signals.SIGTERM, signals.SIGPIPE):
            signals.signal(number, signals.SIG_IGN)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.close(null)
        _monitor(plan, writer)
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 65536)  # written whole; the process inherits the pipe, so it does not close
    sys.stdout.buffer.write(answer or marshal.dumps({"error": "it ended without a word", "kind": "failed"}))


def _monitor(plan: dict[str, Any], writer: int) -> None:
    directory: str = plan["directory"]
    process: Process | None = None
    try:
        os.chdir("/")
        _write(f"{directory}/conmon.pid", str(os.getpid()))
        log = Log(plan["io"]["log"])
        inner, outputs, stdin = _pipes(plan["io"])
        process, master = (create if plan["mode"] == "create" else join)(plan, inner)
        for fd in inner or ():
            os.close(fd)
        if master >= 0:
            outputs, stdin = {master: STDOUT}, (master if plan["io"]["stdin"] else -1)
        once: bool = plan["io"]["stdin_once"]
        stdio = Stdio(
            outputs=outputs, stdin=stdin, stdin_once=once, terminal=master, log=log, directory=directory
        )
        starter = listen(f"{directory}/start")
        _write(f"{directory}/pidfile", str(process.pid))
    except BaseException as error:  # told to the daemon, whatever it is
        if process is not None:
            process.kill()
        os.write(writer, marshal.dumps(explain(error)))
        os._exit(1)
    os.write(writer, marshal.dumps({"pid": process.pid}))
    os.close(writer)
    held = process
    others: dict[int, Any] = {starter.fileno(): lambda: _start(directory, held, starter, others)}
    stdio.run(process.pidfd, others)
    _, status = os.waitpid(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    stdio.close()
    _finish(plan, code if code >= 0 else 128 - code)


def _pipes(io: dict[str, Any]) -> tuple[tuple[int, int, int] | None, dict[int, int], int]:
    """(the process's ends, or None with a terminal; our outputs; our end of its stdin or -1)."""
    if io["tty"]:
        return None, {}, -1
    stdin = -1
    if io["stdin"]:
        inner_in, stdin = os.pipe()
    else:
        inner_in = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    out, inner_out = os.pipe()
    err, inner_err = os.pipe()
    return (inner_in, inner_out, inner_err), {out: STDOUT, err: STDERR}, stdin


def _start(directory: str, process: Process, starter: Socket, others: dict[int, Any]) -> None:
    """Somebody connected to `start`: let the process go, and answer when its program runs."""
    try:
        link = accept(starter)
    except OSError:
        return
    del others[starter.fileno()]
    starter.close()
    os.unlink(f"{directory}/start")
    send(process.control, {"start": True})
    message, _ = receive(process.control)  # nothing: the execve closed it
    process.control.close()
    link.setblocking(True)
    send(link, message or {"ok": True})
    link.close()


def _finish(plan: dict[str, Any], code: int) -> None:
    """The exit file last: who sees it, sees the rest."""
    directory: str = plan["directory"]
    if plan["oom_file"] and _oom_kills(plan["oom_file"]):
        _write(f"{directory}/oom", "")
    for name in ("attach", "start", "ctl"):
        try:
            os.unlink(f"{directory}/{name}")
        except FileNotFoundError:
            pass
    try:
        _write(f"{directory}/exit/.{plan['name']}", str(code))
        os.rename(f"{directory}/exit/.{plan['name']}", f"{directory}/exit/{plan['name']}")
    except FileNotFoundError:
        pass


def _oom_kills(file: str) -> bool:
    try:
        with open(file) as stream:
            counts = dict(line.split() for line in stream if len(line.split()) == 2)
    except OSError:
        return False
    return counts.get("oom_kill", "0") != "0"


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
