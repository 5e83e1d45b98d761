"""Images: looking, naming, removing. What streams is in `transfer.py`."""

from __future__ import annotations

import fnmatch
import time
from typing import TYPE_CHECKING

from aiohttp import web

from moby_components.api.docker import respond
from moby_components.api.docker.changes import apply
from moby_components.api.docker.names import familiar, resolve, with_tag
from moby_components.api.docker.pruning import Pruning, moment
from moby_components.api.docker.shapes import container as container_shape
from moby_components.api.docker.shapes import image as shapes
from moby_components.api.docker.times import seconds
from moby_py.errors import Conflict, InvalidArgument, NotFound, Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from moby_components.api.docker.call import Call
    from moby_py.model import ImageRecord

FILTERS = frozenset({"before", "dangling", "label", "reference", "since", "until"})
TRUE = frozenset({"1", "true", "True", "TRUE"})


async def list_(call: Call) -> web.Response:
    filters = call.filters(FILTERS)
    if call.text("filter"):  # the old single filter, gone in 1.41
        filters.setdefault("reference", []).append(call.text("filter"))
    bounds: dict[str, float] = {}
    for key in ("before", "since"):
        for name in filters.get(key, ()):
            bounds[key] = seconds((await resolve(call.backend.store, name))[1].created)
    found = [i for i in await call.backend.store.list() if _matches(i, filters, bounds)]
    shared = shapes.shared_sizes(await call.backend.store.list()) if call.flag("shared-size") else {}
    answer = [shapes.summary(image, shared=shared.get(image.id, -1)) for image in found]
    if "reference" in filters:
        for shape in answer:
            shape["RepoTags"] = [t for t in shape["RepoTags"] if _named(t, filters["reference"])]
    return respond.as_json(answer)


def _matches(image: ImageRecord, filters: Mapping[str, Sequence[str]], bounds: Mapping[str, float]) -> bool:
    now = time.time()
    made = seconds(image.created)
    for key, values in filters.items():
        match key:
            case "before":
                hit = made < bounds[key]
            case "since":
                hit = made > bounds[key]
            case "until":
                hit = made <= min(moment(value, now) for value in values)
            case "dangling":
                hit = (not image.references) == any(value in TRUE for value in values)
            case "reference":
                hit = any(_named(familiar(name), values) for name in image.references)
            case _:
                hit = Pruning({"label": list(values)}).takes("", shapes.labels(image))
        if not hit:
            return False
    return True


def _named(name: str, patterns: Sequence[str]) -> bool:
    """Docker's rule: the pattern meets the whole familiar name, or the repository alone."""
    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    return any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(repository, p) for p in patterns)


async def inspect(call: Call) -> web.Response:
    _, image = await resolve(call.backend.store, call.args["name"])
    shape = shapes.inspect(image, driver=call.backend.store.name)
    if call.version < (1, 45):
        # Gone since; Compose 1.29 looks there for the volumes of the image.
        shape |= {"Container": "", "ContainerConfig": shape["Config"]}
    return respond.as_json(shape)


async def history(call: Call) -> web.Response:
    _, image = await resolve(call.backend.store, call.args["name"])
    return respond.as_json(shapes.history(image))


async def tag(call: Call) -> web.Response:
    ref, image = await resolve(call.backend.store, call.args["name"])
    if not call.text("repo"):
        raise InvalidArgument("repository name must have at least one component")
    reference = with_tag(call.text("repo"), call.text("tag"))
    if "@" in reference:
        raise InvalidArgument("refusing to create a tag with a digest reference")
    await call.backend.store.tag(ref, reference)
    call.backend.engine.emit("image", "tag", image.id, {"name": familiar(reference)})
    return respond.empty(201)


async def remove(call: Call) -> web.Response:
    ref, _ = await resolve(call.backend.store, call.args["name"])
    return respond.as_json(
        shapes.removed(await call.backend.engine.remove_image(ref, force=call.flag("force")))
    )


async def prune(call: Call) -> web.Response:
    """Images without a name, or (dangling=false) without a container; then what nothing refers to."""
    filters = call.filters(frozenset({"dangling", "until", "label", "label!"}))
    nameless_only = not any(v in ("0", "false", "False") for v in filters.pop("dangling", ()))
    rules = Pruning(filters)
    engine, store = call.backend.engine, call.backend.store
    before = (await store.usage()).layers
    used = {container.image_id for container in await engine.list(all=True)}
    gone = []
    for image in await store.list():
        if image.id in used or (nameless_only and image.references):
            continue
        if not rules.takes(image.created, shapes.labels(image)):
            continue
        try:
            gone += shapes.removed(await engine.remove_image(image.id, force=True))
        except (Conflict, NotFound):
            continue
    await engine.collect()
    freed = max(0, before - (await store.usage()).layers)
    engine.emit("image", "prune", "", {"reclaimed": str(freed)})
    return respond.as_json({"ImagesDeleted": gone or None, "SpaceReclaimed": freed})


async def commit(call: Call) -> web.Response:
    body = await call.body()
    container = await call.backend.engine.inspect(call.text("container"))
    reference = with_tag(call.text("repo"), call.text("tag")) if call.text("repo") else ""
    base = container_shape.config(container.intent)
    config = apply({**base, **body}, call.request.query.getall("changes", []))
    image = await call.backend.engine.commit(
        container.id,
        reference=reference,
        author=call.text("author"),
        message=call.text("comment"),
        config=config,
        pause=call.flag("pause", True),
    )
    return respond.as_json({"Id": image.id}, 201)


async def from_host(call: Call) -> web.Response:
    """An image out of programs of this host (moby-py's own): {"programs": [...], "reference": "..."}."""
    body = await call.body()
    programs = body.get("programs")
    if not isinstance(programs, list) or not programs or not all(isinstance(p, str) for p in programs):
        raise InvalidArgument("programs must be a list of names or paths of programs")
    maker = getattr(call.backend.store, "import_from_host", None)
    if maker is None:
        raise Unsupported(f"image store {call.backend.store.name!r} does not make images from the host")
    reference = with_tag(str(body.get("reference") or "host"), "")
    image = await maker(programs, reference=reference)
    return respond.as_json({"Id": image.id, "RepoTags": [familiar(n) for n in image.references]}, 201)
