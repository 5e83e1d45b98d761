"""The last steps before a program runs: find it, connect it, become its user, execve."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import termios

from . import identity, kernel
from .lean import Any, NoReturn, Socket, signals
from .report import Refused, send

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def find(args: list[str], env: dict[str, str], cwd: str) -> str:
    """The path of the program, searched as execvp does, from inside the container.

    Raises Refused with the words that Docker clients look for.
    """
    name = args[0]
    if "/" in name:
        path = os.path.join(cwd, name)
        code = _judge(path)
        if code == 0:
            return path
        if code in (errno.ENOENT, errno.ENOTDIR):
            raise Refused(f'exec: "{name}": stat {name}: no such file or directory')
        raise Refused(f'exec: "{name}": {os.strerror(code).lower()}')
    for directory in env.get("PATH", "").split(":"):
        path = os.path.join(cwd, directory or ".", name)
        if name and _judge(path) == 0:
            return path
    raise Refused(f'exec: "{name}": executable file not found in $PATH')


def _judge(path: str) -> int:
    """0, or the errno that says why it cannot be executed."""
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno or errno.ENOENT
    if stat.S_ISDIR(found.st_mode):
        return errno.EISDIR
    return 0 if found.st_mode & 0o111 else errno.EACCES


def connect(stdio: tuple[int, int, int], uid: int, *, tty: bool) -> None:
    """Make `stdio` the descriptors 0, 1, 2 of a new session, owned by the user so that /dev/stdout
    can be opened."""
    os.setsid()
    for number, fd in enumerate(stdio):
        try:
            if (os.fstat(fd).st_uid != uid and not stat.S_ISCHR(os.fstat(fd).st_mode)) or tty:
                os.fchown(fd, uid, -1)
        except OSError:
            pass
        os.dup2(fd, number)
    if tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def run(path: str, process: dict[str, Any], program: bytes | None, control: Socket) -> NoReturn:
    """Become the program. On failure tell `control` and exit with 126 or 127; on success `control`
    closes by itself (it is close-on-exec)."""
    try:
        identity.become(process, program)
        if process["init"]:
            _be_init(path, process, control)
        _execve(path, process)
    except OSError as error:
        what = f'exec: "{process["args"][0]}": ' if error.filename in (None, path) else ""
        text = error.strerror or str(error)
        send(control, {"error": f"{what}{text[:1].lower()}{text[1:]}"})
        os._exit(NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE)


def _execve(path: str, process: dict[str, Any]) -> NoReturn:
    for number in range(1, signals.NSIG):
        if number not in (signals.SIGKILL, signals.SIGSTOP):
            try:
                signals.signal(number, signals.SIG_DFL)
            except (OSError, ValueError):
                pass
    signals.pthread_sigmask(signals.SIG_SETMASK, ())
    os.umask(0o022)
    os.execve(path, process["args"], process["env"])  # noqa: S606 - no shell is meant


def _be_init(path: str, process: dict[str, Any], control: Socket) -> NoReturn:
    """docker run --init: stay as pid 1, pass signals on, reap orphans, end with the program."""
    every = set(range(1, signals.NSIG)) - {signals.SIGKILL, signals.SIGSTOP, 32, 33}
    signals.pthread_sigmask(signals.SIG_SETMASK, every)
    child = os.fork()
    if child == 0:
        if os.isatty(0):
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
        _execve_or_tell(path, process, control)
    control.close()
    kernel.rename_process(b"init")
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    while True:
        number = signals.sigwait(every)
        if number != signals.SIGCHLD:
            try:
                os.kill(child, number)
            except ProcessLookupError:
                pass
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child and (os.WIFEXITED(status) or os.WIFSIGNALED(status)):
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)


def _execve_or_tell(path: str, process: dict[str, Any], control: Socket) -> NoReturn:
    try:
        _execve(path, process)
    except OSError as error:
        text = error.strerror or str(error)
        send(control, {"error": f'exec: "{process["args"][0]}": {text[:1].lower()}{text[1:]}'})
        os._exit(NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE)
