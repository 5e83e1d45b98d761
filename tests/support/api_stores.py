"""A store and a vault that are dictionaries."""

from __future__ import annotations

from dataclasses import replace

from moby_py.errors import AlreadyExists, NotFound
from moby_py.kinds import ImageStore, Secrets
from moby_py.model import ImageRecord, Progress, SecretRecord, StoreUsage
from support.api_process import hexid, stamp


class DoubleStore(ImageStore):
    name = "double"

    def __init__(self) -> None:
        self.images: list[ImageRecord] = []
        self.taken = b""

    def add(self, reference: str) -> ImageRecord:
        self.images = [i for i in self.images if reference not in i.references]
        image = ImageRecord(
            id=f"sha256:{hexid()}",
            references=(reference,) if reference else (),
            repo_digests=(),
            created="2024-05-06T07:08:09.5Z",
            size=4_270_000,
            architecture="amd64",
            os="linux",
            config={
                "config": {"Cmd": ["/bin/sh"], "Labels": {"a": "b"}},
                "history": [{"created_by": "ADD rootfs"}, {"created_by": "CMD sh", "empty_layer": True}],
            },
            layers=("sha256:" + "1" * 64,),
            layer_sizes=(4_270_000,),
        )
        self.images.append(image)
        return image

    async def find(self, typed: str) -> ImageRecord:
        from moby_components.api.docker.names import resolve

        return (await resolve(self, typed))[1]

    async def pull(self, reference, **kwargs):
        raise NotImplementedError

    async def push(self, reference, *, auth=None, progress=None):
        progress(Progress(status="Pushed", id="abc"))
        progress(Progress(status="3: digest: sha256:" + "d" * 64 + " size: 5"))
        self.auth = auth
        return "sha256:" + "d" * 64

    async def list(self):
        return list(self.images)

    async def inspect(self, ref):
        for image in self.images:
            if ref in image.references or image.id.removeprefix("sha256:").startswith(
                ref.removeprefix("sha256:")
            ):
                return image
        raise NotFound(f"no such image: {ref}")

    async def tag(self, ref, reference):
        image = await self.inspect(ref)
        self.images.remove(image)
        self.images.append(replace(image, references=(*image.references, reference)))

    async def remove(self, ref, **kwargs):
        raise NotImplementedError

    async def load(self, data, *, progress=None):
        self.taken = b"".join([piece async for piece in data])
        return [self.add("docker.io/library/loaded:1")]

    async def save(self, refs):
        for n in range(64):
            yield bytes([n]) * 16384

    async def import_(self, data, *, reference="", config=None, message=""):
        self.taken = b"".join([piece async for piece in data])
        self.imported = config
        return self.add(reference)

    async def commit(self, container_id, **kwargs):
        raise NotImplementedError

    async def prepare(self, image, container_id):
        raise NotImplementedError

    async def release(self, container_id):
        raise NotImplementedError

    async def changes(self, container_id):
        raise NotImplementedError

    def diff(self, container_id):
        raise NotImplementedError

    async def usage(self):
        return StoreUsage(layers=4_270_000, images={}, containers={})

    async def collect(self, *, containers):
        raise NotImplementedError


class DoubleSecrets(Secrets):
    name = "double"

    def __init__(self) -> None:
        self.values: dict[str, tuple[SecretRecord, bytes]] = {}

    async def create(self, name, value, *, labels=None):
        if name in self.values:
            raise AlreadyExists(f"secret {name} already exists")
        record = SecretRecord(
            id=hexid()[:25], name=name, created=stamp(), updated=stamp(), labels=labels or {}
        )
        self.values[name] = (record, value)
        return record

    async def list(self):
        return [record for record, _ in self.values.values()]

    async def inspect(self, ref):
        for record, _ in self.values.values():
            if ref == record.name or record.id.startswith(ref):
                return record
        raise NotFound(f"secret {ref} not found")

    async def update(self, ref, *, value=None, labels=None):
        record = await self.inspect(ref)
        old = self.values[record.name][1]
        record = replace(record, version=record.version + 1, labels=labels or record.labels)
        self.values[record.name] = (record, old if value is None else value)
        return record

    async def remove(self, ref):
        del self.values[(await self.inspect(ref)).name]

    async def reveal(self, ref):
        return self.values[(await self.inspect(ref)).name][1]
