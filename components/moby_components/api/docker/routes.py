"""The whole API in one table. What Docker serves and this does not yet is listed too (`later`)."""

from __future__ import annotations

from moby_components.api.docker.handlers import (
    archives,
    containers,
    execs,
    images,
    networks,
    secrets,
    streams,
    system,
    transfer,
    volumes,
)
from moby_components.api.docker.router import Route

ROUTES: tuple[Route, ...] = (
    # -- system
    Route("GET", "/_ping", system.ping),
    Route("GET", "/version", system.version),
    Route("GET", "/info", system.info),
    Route("GET", "/events", system.events, stream=True),
    Route("GET", "/system/df", system.disk_usage),
    Route("GET", "/plugins", system.plugins),
    Route("GET", "/plugins/{name:*}/json", system.no_plugin),
    # -- containers
    Route("POST", "/containers/create", containers.create),
    Route("GET", "/containers/json", containers.list_),
    Route("POST", "/containers/prune", containers.prune),
    Route("GET", "/containers/{name}/json", containers.inspect),
    Route("GET", "/containers/{name}/top", containers.top),
    Route("GET", "/containers/{name}/changes", containers.changes),
    Route("POST", "/containers/{name}/start", containers.start),
    Route("POST", "/containers/{name}/stop", containers.stop),
    Route("POST", "/containers/{name}/restart", containers.restart),
    Route("POST", "/containers/{name}/kill", containers.kill),
    Route("POST", "/containers/{name}/pause", containers.pause),
    Route("POST", "/containers/{name}/unpause", containers.unpause),
    Route("POST", "/containers/{name}/rename", containers.rename),
    Route("POST", "/containers/{name}/update", containers.update),
    Route("POST", "/containers/{name}/resize", containers.resize),
    Route("POST", "/containers/{name}/attach", streams.attach, stream=True),
    Route("POST", "/containers/{name}/wait", streams.wait, stream=True),
    Route("GET", "/containers/{name}/logs", streams.logs, stream=True),
    Route("GET", "/containers/{name}/stats", streams.stats, stream=True),
    Route("HEAD", "/containers/{name}/archive", archives.stat),
    Route("GET", "/containers/{name}/archive", archives.get, stream=True),
    Route("PUT", "/containers/{name}/archive", archives.put, stream=True),
    Route("GET", "/containers/{name}/export", archives.export, stream=True),
    Route("DELETE", "/containers/{name}", containers.remove),
    Route("POST", "/commit", images.commit),
    # -- execs
    Route("POST", "/containers/{name}/exec", execs.create),
    Route("POST", "/exec/{id}/start", execs.start, stream=True),
    Route("POST", "/exec/{id}/resize", execs.resize),
    Route("GET", "/exec/{id}/json", execs.inspect),
    # -- images
    Route("GET", "/images/json", images.list_),
    Route("POST", "/images/create", transfer.create, stream=True),
    Route("POST", "/images/load", transfer.load, stream=True),
    Route("POST", "/images/prune", images.prune),
    Route("POST", "/images/from-host", images.from_host),
    Route("GET", "/images/get", transfer.save, stream=True),
    Route("GET", "/images/{name:*}/get", transfer.save, stream=True),
    Route("GET", "/images/{name:*}/json", images.inspect),
    Route("GET", "/images/{name:*}/history", images.history),
    Route("POST", "/images/{name:*}/tag", images.tag),
    Route("POST", "/images/{name:*}/push", transfer.push, stream=True),
    Route("DELETE", "/images/{name:*}", images.remove),
    # -- networks
    Route("GET", "/networks", networks.list_),
    Route("POST", "/networks/create", networks.create),
    Route("POST", "/networks/prune", networks.prune),
    Route("GET", "/networks/{name}", networks.inspect),
    Route("DELETE", "/networks/{name}", networks.remove),
    Route("POST", "/networks/{name}/connect", networks.connect),
    Route("POST", "/networks/{name}/disconnect", networks.disconnect),
    # -- volumes
    Route("GET", "/volumes", volumes.list_),
    Route("POST", "/volumes/create", volumes.create),
    Route("POST", "/volumes/prune", volumes.prune),
    Route("GET", "/volumes/{name}", volumes.inspect),
    Route("DELETE", "/volumes/{name}", volumes.remove),
    Route("GET", "/volumes/{name}/export", volumes.export, stream=True),
    Route("PUT", "/volumes/{name}/import", volumes.import_, stream=True),
    Route("POST", "/volumes/{name}/import", volumes.import_, stream=True),
    Route("POST", "/volumes/{name}/clone", volumes.clone),
    # -- secrets
    Route("GET", "/secrets", secrets.list_),
    Route("POST", "/secrets/create", secrets.create),
    Route("GET", "/secrets/{name}", secrets.inspect),
    Route("POST", "/secrets/{name}/update", secrets.update),
    Route("DELETE", "/secrets/{name}", secrets.remove),
    # -- what a platform of one host is not
    *(
        Route(method, path, system.no_swarm)
        for word in ("swarm", "nodes", "services", "tasks", "configs")
        for path in (f"/{word}", f"/{word}/{{rest:*}}")
        for method in ("GET", "POST", "DELETE")
    ),
    # -- what comes with the full API
    Route("GET", "/containers/{name}/attach/ws", system.later),
    Route("POST", "/containers/{name}/checkpoints", system.later),
    Route("GET", "/containers/{name}/checkpoints", system.later),
    Route("POST", "/build", system.later),
    Route("POST", "/build/prune", system.no_build_cache),
    Route("POST", "/session", system.later),
    Route("POST", "/grpc", system.later),
    Route("POST", "/auth", system.later),
    Route("GET", "/images/search", system.later),
    Route("GET", "/distribution/{name:*}/json", system.later),
    Route("PUT", "/volumes/{name}", system.later),
)
