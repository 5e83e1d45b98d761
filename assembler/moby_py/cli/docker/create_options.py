"""The options of `run` and `create`, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from moby_py.cli.docker import complete

_COMPLETED = {"--network": ("network",), "--link": ("container",), "--volumes-from": ("container",)}
F = TypeVar("F", bound=Callable[..., Any])

MANY = (
    (("-e", "--env"), "NAME[=VALUE]", "Set an environment variable."),
    (("--env-file",), "FILE", "Read environment variables from a file."),
    (("-v", "--volume"), "SRC:DST[:ro]", "Bind a directory or a volume."),
    (("--mount",), "KEY=VALUE,...", "type=bind|volume|tmpfs|secret,src=..,dst=..[,readonly]"),
    (("--tmpfs",), "DST[:OPTIONS]", "A file system in memory."),
    (("--secret",), "NAME[:TARGET]", "A secret as a file, /run/secrets/NAME by default."),
    (("-p", "--publish"), "[[IP:]HOST:]PORT", "Publish a port on the host."),
    (("--expose",), "PORT", "Declare a port without publishing it."),
    (("--network", "--net"), "NAME", "none, host, container:NAME or one of yours; name=NET,alias=..,ip=.."),
    (("--network-alias",), "NAME", "A further name on the network."),
    (("--add-host",), "HOST:IP", "A further line in /etc/hosts."),
    (("--dns",), "IP", "A name server."),
    (("--dns-search",), "DOMAIN", "A search domain."),
    (("--dns-option",), "OPTION", "An option of /etc/resolv.conf."),
    (("--link",), "CONTAINER[:NAME]", "A name for a neighbour, of its own."),
    (("--cap-add",), "CAP", "Give a capability."),
    (("--cap-drop",), "CAP", "Take a capability away (ALL for all)."),
    (("--security-opt",), "OPT", "seccomp=FILE|unconfined, no-new-privileges, ..."),
    (("--group-add",), "GROUP", "A further group."),
    (("--device",), "SRC[:DST][:rwm]", "Give a device of the host."),
    (("--ulimit",), "NAME=SOFT[:HARD]", "A resource limit (nofile, core, ...)."),
    (("--sysctl",), "KEY=VALUE", "A kernel parameter of the container's own."),
    (("-l", "--label"), "KEY[=VALUE]", "A label."),
    (("--label-file",), "FILE", "Read labels from a file."),
    (("--annotation",), "KEY=VALUE", "An annotation for the runtime."),
    (("--log-opt",), "KEY=VALUE", "An option of the log driver."),
    (("--volumes-from",), "CONTAINER", "Another container's volumes too."),
)
TEXT = (
    (("--name",), "NAME", "The container's name."),
    (("-w", "--workdir"), "DIR", "Working directory."),
    (("-u", "--user"), "USER[:GROUP]", "Run as this user."),
    (("--entrypoint",), "PROGRAM", "Instead of the image's entrypoint."),
    (("-h", "--hostname"), "NAME", "Host name."),
    (("--domainname",), "NAME", "NIS domain name."),
    (("-m", "--memory"), "SIZE", "Memory limit (512m, 2g)."),
    (("--memory-swap",), "SIZE", "Memory plus swap; -1 for any."),
    (("--memory-reservation",), "SIZE", "Soft memory limit."),
    (("--cpus",), "N", "So many CPUs (1.5)."),
    (("--cpuset-cpus",), "LIST", "Only these CPUs (0-2,4)."),
    (("--cpuset-mems",), "LIST", "Only these memory nodes."),
    (("--restart",), "POLICY", "no, always, unless-stopped, on-failure[:N]."),
    (("--runtime",), "ID", "A runtime of this platform."),
    (("--stop-signal",), "SIGNAL", "The signal to stop it with."),
    (("--shm-size",), "SIZE", "Size of /dev/shm."),
    (("--log-driver",), "NAME", "json-file, local, journald or none."),
    (("--pid",), "MODE", "host or container:NAME."),
    (("--ipc",), "MODE", "host, none, private, shareable, container:NAME."),
    (("--uts",), "MODE", "host."),
    (("--userns",), "MODE", "host."),
    (("--cgroupns",), "MODE", "host or private."),
    (("--cgroup-parent",), "PATH", "Parent cgroup."),
    (("--ip",), "IP", "Address on the network."),
    (("--ip6",), "IP", "IPv6 address on the network."),
    (("--mac-address",), "MAC", "Hardware address on the network."),
    (("--health-cmd",), "COMMAND", "How to see whether it is well."),
    (("--health-interval",), "TIME", "Between two looks (30s)."),
    (("--health-timeout",), "TIME", "Longest look (30s)."),
    (("--health-start-period",), "TIME", "Failures do not count so long."),
    (("--health-start-interval",), "TIME", "Between two looks of the start period (5s)."),
)
NUMBERS = (
    (("--pids-limit",), "Most processes; -1 for any."),
    (("--cpu-shares", "-c"), "Share of CPU against others."),
    (("--cpu-quota",), "Microseconds of CPU per period."),
    (("--cpu-period",), "Length of a period in microseconds."),
    (("--blkio-weight",), "Share of disk against others."),
    (("--stop-timeout",), "Seconds between the stop signal and SIGKILL."),
    (("--oom-score-adj",), "For the kernel's choice when memory ends."),
    (("--health-retries",), "So many failures in a row mean unhealthy."),
)
FLAGS = (
    (("-i", "--interactive"), "Keep stdin open."),
    (("-t", "--tty"), "A terminal."),
    (("--rm",), "Remove it when it has ended."),
    (("--read-only",), "The root file system cannot be written."),
    (("--privileged",), "All capabilities and devices."),
    (("--init",), "A small init as process 1."),
    (("--oom-kill-disable",), "Do not kill it when its memory ends."),
    (("-P", "--publish-all"), "Publish all exposed ports."),
    (("--no-healthcheck",), "Without the image's health check."),
)


def create_options(function: F) -> F:
    """All of them; they arrive as keyword arguments named after their long forms."""
    for names, metavar, text in reversed(MANY):
        kinds = _COMPLETED.get(names[0])
        function = click.option(
            *names,
            _key(names),
            metavar=metavar,
            multiple=True,
            help=text,
            shell_complete=complete.names(*kinds) if kinds else None,
        )(function)
    for names, metavar, text in reversed(TEXT):
        function = click.option(*names, _key(names), metavar=metavar, default="", help=text)(function)
    for names, text in reversed(NUMBERS):
        function = click.option(*names, _key(names), type=int, metavar="N", help=text)(function)
    for names, text in reversed(FLAGS):
        function = click.option(*names, _key(names), is_flag=True, help=text)(function)
    function = click.option("--platform", metavar="OS/ARCH", default="", help="Of a multi-platform image.")(
        function
    )
    function = click.option(
        "--pull", type=click.Choice(["missing", "always", "never"]), default="missing", help="When to pull."
    )(function)
    return click.option("--cidfile", metavar="FILE", default="", help="Write the id into this new file.")(
        function
    )


def _key(names: tuple[str, ...]) -> str:
    """ "--env" -> "env": the first long name decides."""
    long = next(name for name in names if name.startswith("--"))
    return long[2:].replace("-", "_")
