"""Who has a port that cannot be published: only the engine knows all containers."""

from __future__ import annotations

from moby_components.engine.moby.core import Core
from moby_components.engine.moby.entry import Entry
from moby_py.errors import Conflict
from moby_py.model import PortBinding

_TAKEN = ("port is already allocated", "address already in use")


def hint_for(core: Core, entry: Entry, ports: tuple[PortBinding, ...], error: Conflict) -> str | None:
    """None where the refusal is of another kind, or comes with a hint of its own."""
    if error.hint or not error.message.endswith(_TAKEN):
        return error.hint
    wanted = {(port.protocol, str(number)) for port in ports for number in port.host_ports if number}
    for other in core.entries.values():
        if other.id == entry.id or not other.record.active:
            continue
        for inside, bindings in (other.record.network.get("Ports") or {}).items():
            for binding in bindings or ():
                if (inside.rpartition("/")[2], binding.get("HostPort")) in wanted:
                    return f"container {other.record.name} publishes it; choose another port or stop that one"
    protocol = "u" if any(port.protocol == "udp" for port in ports) else "t"
    return f"another program of this host has it: ss -ln{protocol}p shows which"
