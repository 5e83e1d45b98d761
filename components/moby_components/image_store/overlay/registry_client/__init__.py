"""A client of OCI distribution-spec v1.1 and Docker's registry API v2, for the overlay store.

    async with RegistryClient(RegistryOptions()) as client:
        found = await client.resolve(parse("alpine:3"), platform="linux/arm64")
        for layer in found.layers:                                # the caller decides how many at once
            await client.fetch_blob(found.reference, layer, blobs / layer.digest)

Every byte is checked against the digest it was asked by, every answer has a size and a time limit,
and no failure leaves a file. Errors read `cannot pull REFERENCE: what - why`, the way out as hint.
aiohttp is imported at the first request only.
"""

from .client import RegistryClient
from .types import Descriptor, RegistryOptions, Resolved, TransferProgress

__all__ = ["Descriptor", "RegistryClient", "RegistryOptions", "Resolved", "TransferProgress"]
