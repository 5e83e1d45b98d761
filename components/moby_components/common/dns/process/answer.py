"""One query to its answer: ours, refused, or to be forwarded."""

from __future__ import annotations

from moby_components.common.dns.process import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from moby_components.common.dns.process.names import Names


def answer(names: Names, visible: Sequence[str], data: bytes, *, tcp: bool) -> bytes | wire.Query | None:
    """The answer from our own names, the parsed query when it is not ours to answer, or None when
    `data` deserves no answer at all. A name that we own is never forwarded, whatever is asked of it:
    what it lacks is an empty answer."""
    try:
        query = wire.parse(data)
    except wire.Bad as bad:
        return None if bad.rcode < 0 else wire.fail(data, bad.rcode)
    records: list[bytes] = []
    if query.rtype == wire.PTR:
        pointer = names.reverse(visible, query.name)
        if pointer is not None:
            records.append(pointer)
    found = None if records else names.addresses(visible, query.name)
    if found is None and not records:
        return query
    if query.version:
        return wire.fail(data, wire.BADVERS, query)
    if found is not None and query.rclass in (wire.IN, wire.ANY):
        if query.rtype == wire.A:
            records = found[0]
        elif query.rtype == wire.AAAA:
            records = found[1]
        elif query.rtype == wire.ANY:
            records = found[0] + found[1]
    return wire.reply(data, query, records, wire.LARGEST if tcp else query.limit)
