"""Docker's words for one platform: `OUT/bin/NAME ps` = `moby-py -p OUT ps`.

Each command is a file of its own and speaks HTTP to the platform's socket like any client. Nothing
here imports more than click and the standard library, and each command only what it uses.
"""

from __future__ import annotations

_HERE = "moby_py.cli.docker"

COMMANDS: dict[str, str] = {
    "run": f"{_HERE}.run:run",
    "create": f"{_HERE}.create:create",
    "start": f"{_HERE}.start:start",
    "attach": f"{_HERE}.attach:attach",
    "exec": f"{_HERE}.exec:exec_",
    "ps": f"{_HERE}.ps:ps",
    "logs": f"{_HERE}.logs:logs",
    "stop": f"{_HERE}.lifecycle:stop",
    "kill": f"{_HERE}.lifecycle:kill",
    "restart": f"{_HERE}.lifecycle:restart",
    "pause": f"{_HERE}.lifecycle:pause",
    "unpause": f"{_HERE}.lifecycle:unpause",
    "rm": f"{_HERE}.lifecycle:rm",
    "wait": f"{_HERE}.lifecycle:wait",
    "rename": f"{_HERE}.lifecycle:rename",
    "update": f"{_HERE}.update:update",
    "inspect": f"{_HERE}.inspect:inspect",
    "top": f"{_HERE}.top:top",
    "stats": f"{_HERE}.stats:stats",
    "port": f"{_HERE}.port:port",
    "diff": f"{_HERE}.diff:diff",
    "commit": f"{_HERE}.commit:commit",
    "cp": f"{_HERE}.cp:cp",
    "export": f"{_HERE}.export:export",
    "events": f"{_HERE}.events:events",
    "images": f"{_HERE}.images:images",
    "pull": f"{_HERE}.pull:pull",
    "push": f"{_HERE}.push:push",
    "rmi": f"{_HERE}.images:rmi",
    "tag": f"{_HERE}.images:tag",
    "history": f"{_HERE}.images:history",
    "save": f"{_HERE}.archive:save",
    "load": f"{_HERE}.archive:load",
    "import": f"{_HERE}.archive:import_",
    "container": f"{_HERE}.groups:container",
    "image": f"{_HERE}.groups:image",
    "volume": f"{_HERE}.groups:volume",
    "network": f"{_HERE}.groups:network",
    "secret": f"{_HERE}.groups:secret",
    "system": f"{_HERE}.groups:system",
    "info": f"{_HERE}.system:info",
    "version": f"{_HERE}.system:version",
    "env": f"{_HERE}.system:env",
    "completion": "moby_py.cli.completion:completion",
}
"""Word -> "module:attribute", imported when it is typed."""

SECTIONS: dict[str, list[str]] = {
    "Containers": [
        *("run", "create", "start", "attach", "exec", "ps", "logs", "stop", "kill", "restart", "pause"),
        *("unpause", "rm", "wait", "rename", "update", "top", "stats", "port", "diff", "commit"),
        *("cp", "export"),
    ],
    "Images": ["images", "pull", "push", "rmi", "tag", "history", "save", "load", "import"],
    "By noun": ["container", "image", "volume", "network", "secret", "system"],
    "Platform": ["info", "version", "env", "events", "inspect", "completion"],
}
"""Heading -> words, for --help."""
