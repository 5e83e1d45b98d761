"""`container`, `image`, `volume`, ...: the same commands under their nouns."""

from __future__ import annotations

from moby_py.cli.docker import COMMANDS
from moby_py.cli.group import LazyGroup

_HERE = "moby_py.cli.docker"


def _same(*words: str) -> dict[str, str]:
    return {word: COMMANDS[word] for word in words}


container = LazyGroup(
    name="container",
    help="Containers, under their noun.",
    epilog="\b\nExamples:\n  NAME container ls -a\n  NAME container COMMAND --help",
    table={
        **_same("run", "create", "start", "attach", "exec"),
        "ls": COMMANDS["ps"],
        "list": COMMANDS["ps"],
        **_same("logs", "stop", "kill", "restart", "pause", "unpause", "rm", "wait", "rename", "update"),
        "inspect": f"{_HERE}.inspect:inspect_container",
        **_same("top", "stats", "port", "diff", "commit", "cp", "export"),
        "prune": f"{_HERE}.prune:containers",
    },
)
image = LazyGroup(
    name="image",
    help="Images; `image from-host` makes one of programs of this host.",
    epilog="\b\nExamples:\n  NAME image from-host -t tools sh ls\n  NAME image COMMAND --help",
    table={
        "ls": COMMANDS["images"],
        "list": COMMANDS["images"],
        **_same("pull", "push", "tag", "history", "save", "load", "import"),
        "rm": COMMANDS["rmi"],
        "inspect": f"{_HERE}.inspect:inspect_image",
        "prune": f"{_HERE}.prune:images",
        "from-host": f"{_HERE}.from_host:from_host",
    },
)
volume = LazyGroup(
    name="volume",
    help="Volumes: data that outlives containers.",
    epilog="\b\nExamples:\n  NAME volume create data\n  NAME volume COMMAND --help",
    table={
        "create": f"{_HERE}.volumes:create",
        "ls": f"{_HERE}.volumes:list_",
        "inspect": f"{_HERE}.inspect:inspect_volume",
        "rm": f"{_HERE}.volumes:remove",
        "prune": f"{_HERE}.prune:volumes",
        "export": f"{_HERE}.volume_data:export",
        "import": f"{_HERE}.volume_data:import_",
        "clone": f"{_HERE}.volume_data:clone",
    },
)
network = LazyGroup(
    name="network",
    help="Networks between containers.",
    epilog="\b\nExamples:\n  NAME network ls\n  NAME network COMMAND --help",
    table={
        "create": f"{_HERE}.networks:create",
        "ls": f"{_HERE}.networks:list_",
        "inspect": f"{_HERE}.inspect:inspect_network",
        "connect": f"{_HERE}.networks:connect",
        "disconnect": f"{_HERE}.networks:disconnect",
        "rm": f"{_HERE}.networks:remove",
        "prune": f"{_HERE}.prune:networks",
    },
)
secret = LazyGroup(
    name="secret",
    help="Secrets: files under /run/secrets in containers.",
    epilog="\b\nExamples:\n  NAME secret create db_password ./password.txt\n  NAME secret COMMAND --help",
    table={
        "create": f"{_HERE}.secrets:create",
        "update": f"{_HERE}.secrets:update",
        "ls": f"{_HERE}.secrets:list_",
        "inspect": f"{_HERE}.inspect:inspect_secret",
        "rm": f"{_HERE}.secrets:remove",
    },
)
system = LazyGroup(
    name="system",
    help="The platform itself.",
    epilog="\b\nExamples:\n  NAME system df\n  NAME system COMMAND --help",
    table={
        "info": COMMANDS["info"],
        "df": f"{_HERE}.df:df",
        "events": COMMANDS["events"],
        "prune": f"{_HERE}.prune:system",
    },
)
