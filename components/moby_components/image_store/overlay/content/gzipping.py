"""A layer that is made here: plain tar bytes in, a gzip blob with both of its digests out."""

from __future__ import annotations

import hashlib
from types import TracebackType

from isal import isal_zlib

from moby_components.image_store.overlay.content.blobs import Blobs
from moby_components.image_store.overlay.content.documents import OCI_LAYER_GZIP, Blob

_LEVEL = 1
_GZIP = 31
"""zlib's word for "with a gzip header": one without name and time, so equal bytes give equal blobs."""


class LayerWriter:
    """Write and `finish` in a thread, then `keep`; without it nothing remains."""

    def __init__(self, blobs: Blobs) -> None:
        self._blob = blobs.writer()
        self._compress = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        self._hash.update(data)
        if out := self._compress.compress(data):
            self._blob.write(out)

    def finish(self) -> tuple[Blob, str]:
        """(the blob, its diff id). Not kept yet."""
        self._blob.write(self._compress.flush())
        blob = Blob(digest=self._blob.digest, size=self._blob.size, media_type=OCI_LAYER_GZIP)
        return blob, "sha256:" + self._hash.hexdigest()

    def keep(self) -> None:
        """Give the blob its name. In the event loop's thread, once its digest is leased."""
        self._blob.commit(sync=False)

    def __enter__(self) -> LayerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._blob.__exit__(kind, value, trace)
