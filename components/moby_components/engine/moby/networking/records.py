"""Network records, requests and attachments as the database keeps them: plain JSON and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from moby_py.model import Attachment, AttachRequest, NetworkRecord, PortBinding, Sandbox

_NETWORK = frozenset(f.name for f in fields(NetworkRecord))
_REQUEST = frozenset(f.name for f in fields(AttachRequest))
_ATTACHMENT = frozenset(f.name for f in fields(Attachment))


def predefined_id(platform: str, name: str) -> str:
    """The same at every start of the same platform, whichever component brings the network."""
    return hashlib.sha256(f"moby-py network {platform} {name}".encode()).hexdigest()


def endpoint_id(container_id: str, network_id: str) -> str:
    return hashlib.sha256(f"{network_id} {container_id}".encode()).hexdigest()


def dump_network(record: NetworkRecord) -> dict[str, Any]:
    return asdict(record)


def load_network(data: Mapping[str, Any]) -> NetworkRecord:
    return NetworkRecord(**{key: value for key, value in data.items() if key in _NETWORK})


def dump_request(request: AttachRequest) -> dict[str, Any]:
    """Without the network, which has a row of its own."""
    data = asdict(replace(request, network=_NOWHERE))
    del data["network"]
    return data


def load_request(data: Mapping[str, Any], network: NetworkRecord) -> AttachRequest:
    known = {key: value for key, value in data.items() if key in _REQUEST}
    known["sandbox"] = Sandbox(**known["sandbox"])
    known["ports"] = _ports(known.get("ports"))
    known["aliases"] = tuple(known.get("aliases") or ())
    known["dns"] = tuple(known.get("dns") or ())
    return AttachRequest(network=network, **known)


def dump_attachment(attachment: Attachment) -> dict[str, Any]:
    return asdict(attachment)


def load_attachment(data: Mapping[str, Any] | None) -> Attachment | None:
    if data is None:
        return None
    known = {key: value for key, value in data.items() if key in _ATTACHMENT}
    known["ports"] = _ports(known.get("ports"))
    known["dns"] = tuple(known.get("dns") or ())
    return Attachment(**known)


def _ports(data: Any) -> tuple[PortBinding, ...]:
    return tuple(PortBinding(**port) for port in data or ())


_NOWHERE = NetworkRecord(id="", name="", driver="", sandbox="private")
