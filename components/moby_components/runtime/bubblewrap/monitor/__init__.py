"""The monitor: one small process per container (and per exec) that outlives the daemon.

It is started as `python -I -S .../monitor/__main__.py DIRECTORY` with a plan (JSON) on its standard
input, so that nothing of a container shows in an argument or an environment, and is then the server
side of `moby_components.common.monitor`'s protocol. Standard library only, few modules: it is up in
about 20 ms. Read `create` first: how bwrap makes the sandbox and how the process gets in.

Two processes run this code, and know nothing of the daemon's modules:

    the monitor       launch, create | join, stdio, log, cgroup
    the container's   inside, mounts, sysctl, terminal, identity, execute - until its execve
    first process

Nothing may be imported after `inside.enter`: the files are out of reach from there.
"""
