"""What the host's own firewall does to our forwarded packets, and the two cases in which we speak there.

An `accept` of ours ends nothing: a packet still passes the host's `filter FORWARD`. Where an
administrator lets that chain drop, containers stay offline, and that is right. Two exceptions:

respect   a dockerd sets the chain's policy to drop for its own reasons, on hosts where nobody asked for
          a firewall. Its chain DOCKER-USER, which it leaves to others, then gets one jump to a chain
          of ours.
bypass    the jump is at the head of FORWARD itself, whatever the policy is: Docker's way.

In our chain our bridges are accepted - our own table has dropped before what must not pass - except
towards Docker's bridges, where Docker's rules go on deciding. iptables is asked only where its tables
exist; nothing is started on a host that has none.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from moby_components.common.nft import Nft, NftError

RESPECT, BYPASS, LEAVE = "respect", "bypass", "leave"
_SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"
_DOCKER_BRIDGE = re.compile(r"^-A \S+ -o (\S+) .*?-j DOCKER$", re.MULTILINE)
_FAMILIES = (("ip", "iptables", "ip_tables_names"), ("ip6", "ip6tables", "ip6_tables_names"))


class HostFirewall:
    """`mode` is RESPECT, BYPASS, or LEAVE (never touched). Used in the world's thread."""

    def __init__(self, mode: str, tag: str, log: logging.Logger) -> None:
        self._mode = mode
        self._chain = f"MOBY-PY-{tag.upper()}"
        self._log = log
        self._lacking = False
        self._told = False

    def refresh(self, nft: Nft, bridges: Sequence[str]) -> None:
        """Bring our chain in line with the host's rules as they are now. Failures are logged: the
        networks themselves are fine."""
        if self._mode == LEAVE:
            return
        for family, program, names in _FAMILIES:
            for command in self._in_use(nft, family, program, names):
                try:
                    self._one(command, bridges)
                except (OSError, subprocess.SubprocessError) as error:
                    self._log.warning("cannot tell the host's firewall about containers - %s", error)

    def clear(self, nft: Nft) -> None:
        """Take our chain away, wherever it is."""
        self.refresh(nft, ())

    def _in_use(self, nft: Nft, family: str, program: str, names: str) -> list[str]:
        """The iptables commands whose tables exist here; the kernel keeps two sets of them."""
        found = []
        try:
            if "type filter hook forward" in nft.run(f"list chain {family} filter FORWARD"):
                found.append(f"{program}-nft")
        except NftError:
            pass
        try:
            if "filter" in Path(f"/proc/thread-self/net/{names}").read_text(encoding="ascii").split():
                found.append(f"{program}-legacy")
        except OSError:
            pass
        commands = [shutil.which(name, path=_SBIN) for name in found]
        if None in commands and not self._lacking:
            self._lacking = True
            self._log.warning("%s is not installed - containers pass the host's firewall or not", found)
        return [command for command in commands if command]

    def _one(self, command: str, bridges: Sequence[str]) -> None:
        now = _run(command, "-w", "-S")
        home = self._home(now) if bridges else ""
        lines = []
        jump = f"-j {self._chain}"
        for place in ("FORWARD", "DOCKER-USER"):
            there = f"-A {place} {jump}" in now
            if there and place != home:
                lines.append(f"-D {place} {jump}")
            elif not there and place == home:
                lines.append(f"-I {place} {jump}")
        wanted = self._rules(now, bridges) if home else []
        have = [line for line in now.splitlines() if line.startswith(f"-A {self._chain} ")]
        exists = f"-N {self._chain}" in now.splitlines()
        if home and (have != wanted or lines):
            # Naming the chain makes or empties it: one step for the kernel.
            self._restore(command, [f":{self._chain} - [0:0]", *wanted, *lines])
            self._log.info("%s: containers pass the host's %s by the chain %s", command, home, self._chain)
        elif not home and exists:
            self._restore(command, [*lines, f"-F {self._chain}", f"-X {self._chain}"])

    def _home(self, now: str) -> str:
        """Where our jump belongs, "" for nowhere."""
        if self._mode == BYPASS:
            return "FORWARD"
        lines = now.splitlines()
        if "-P FORWARD DROP" not in lines:
            return ""
        if "-N DOCKER-USER" in lines:
            return "DOCKER-USER"
        if not self._told:
            self._told = True
            self._log.warning(
                "the host's iptables drop what is forwarded - containers reach other hosts, and are "
                "reached, only where its FORWARD chain says so (host_firewall: bypass overrides it)"
            )
        return ""

    def _rules(self, now: str, bridges: Sequence[str]) -> list[str]:
        theirs = [name for name in dict.fromkeys(_DOCKER_BRIDGE.findall(now)) if name not in bridges]
        return [
            *(f"-A {self._chain} -o {name} -j ACCEPT" for name in bridges),
            *(f"-A {self._chain} -o {name} -j RETURN" for name in theirs),
            *(f"-A {self._chain} -i {name} -j ACCEPT" for name in bridges),
        ]

    @staticmethod
    def _restore(command: str, lines: Sequence[str]) -> None:
        script = "\n".join(("*filter", *lines, "COMMIT", ""))
        folder, _, name = command.rpartition("/")
        kind, _, variant = name.partition("-")
        _run(f"{folder}/{kind}-{variant}-restore", "-w", "--noflush", script=script)


def _run(*argv: str, script: str = "") -> str:
    done = subprocess.run(
        argv,
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
        env={"PATH": _SBIN, "LC_ALL": "C"},
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise OSError(f"{argv[0].rpartition('/')[2]}: {lines[-1]}")
    return done.stdout
