"""The two ways to start what was built: `bin/NAME`, and a systemd unit.

Both name the Python interpreter that built the platform, and neither names the platform's directory,
which can be moved and copied. `-P` keeps the current directory off the import path: a folder named
`moby_py` or `click` where the user happens to stand must not be run.
"""

from __future__ import annotations

import shlex
import sys

from moby_py.directories import user_id

SCRIPT = """\
#!/bin/sh
# The platform's own command, written by moby-py build. It finds the platform by its own place.
self=$0
[ -h "$self" ] && self=$(readlink -f -- "$self")
case $self in */*) ;; *) self=./$self ;; esac
out=$(CDPATH= cd -- "${{self%/*}}/.." && pwd -P) || exit 125
MOBY_PY_PROG=${{0##*/}}
export MOBY_PY_PROG
exec {python} -P -m moby_py -p "$out" "$@"
"""

UNIT = """\
# systemctl{user} link /path/to/the/platform/units/{name}.service && systemctl{user} enable --now {name}
[Unit]
Description=Container platform {name}
Documentation=man:moby-py(1)
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
# %Y is the folder of this file, wherever the platform was put.
ExecStart={python} -P -m moby_py up %Y/..
# Containers and their monitors outlive a crash of the daemon; it adopts them when it is back.
KillMode=process
Delegate=yes
Restart=on-failure
RestartSec=1
TimeoutStartSec=120
TimeoutStopSec=120
LimitNOFILE=1048576
TasksMax=infinity
OOMScoreAdjust=-500

[Install]
WantedBy={target}
"""


def script() -> str:
    """`bin/NAME`: POSIX sh, no program started but Python (readlink where it is a symlink)."""
    return SCRIPT.format(python=shlex.quote(sys.executable))


def unit(name: str) -> str:
    """`units/NAME.service`: `up` in the foreground, which tells systemd when the API answers."""
    system = user_id() == 0
    text = UNIT.format(
        name=name,
        python=_quote(sys.executable),
        user="" if system else " --user",
        target="multi-user.target" if system else "default.target",
    )
    if not system:  # an ordinary user may not lower it
        text = text.replace("OOMScoreAdjust=-500\n", "")
    return text


def _quote(path: str) -> str:
    """systemd.service(5): % and $ are doubled, a path with blanks goes in double quotes."""
    escaped = path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(c in path for c in " \t'\"") else escaped
