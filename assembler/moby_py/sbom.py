"""sbom.cdx.json: a CycloneDX 1.6 bill of materials of a platform, the same bytes each time.

Written directly: the cyclonedx library puts the current time into every document and costs a third
of a build to import. Our tests hold the result against that library's schema.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from moby_py import __version__
from moby_py.distributions import normalised
from moby_py.registry import DISTRIBUTION

NAMESPACE = uuid.UUID("6a0c1a56-6a4f-5d0e-9a51-7f5f1d1c2b3e")
"""Of the derived serial numbers (uuid5 over the content)."""


def make(name: str, lock: Mapping[str, Any]) -> dict[str, Any]:
    """The document, from the platform's lock alone."""
    root = f"platform:{name}"
    components = [
        *(_distribution(d["name"], d["version"]) for d in lock["distributions"]),
        *_plugin_files(lock),
        *_programs(lock),
    ]
    components.sort(key=lambda c: c["bom-ref"])
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": DISTRIBUTION, "version": __version__}]},
            "component": {
                "type": "platform",
                "bom-ref": root,
                "name": name,
                "properties": [
                    {"name": f"moby-py:{c['kind']}", "value": f"{c['id']} ({c['use']}, {c['distribution']})"}
                    for c in lock["components"]
                ],
            },
        },
        "components": components,
        "dependencies": [
            {"ref": root, "dependsOn": [c["bom-ref"] for c in components]},
            *({"ref": c["bom-ref"]} for c in components),
        ],
    }
    serial = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


def dumps(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _distribution(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{normalised(name)}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _plugin_files(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Components that come from a file instead of a distribution."""
    files = {c["distribution"]: c["sha256"] for c in lock["components"] if not c["version"]}
    return [
        {
            "type": "file",
            "bom-ref": f"plugin:{path}",
            "name": path,
            "hashes": [{"alg": "SHA-256", "content": digest}],
        }
        for path, digest in files.items()
    ]


def _programs(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    users: dict[tuple[str, str, str, str], list[str]] = {}
    for b in lock["binaries"]:
        key = (b["name"], b["path"], b["version"], b["sha256"])
        users.setdefault(key, []).append(f"{b['kind']}/{b['id']}")
    found = []
    for (name, path, version, digest), parts in users.items():
        component: dict[str, Any] = {
            "type": "application",
            "bom-ref": f"program:{path}",
            "name": name,
            "version": version,
            "hashes": [{"alg": "SHA-256", "content": digest}],
            "properties": [
                {"name": "moby-py:path", "value": path},
                *({"name": "moby-py:used-by", "value": part} for part in sorted(parts)),
            ],
        }
        if not version:
            del component["version"]
        found.append(component)
    return list({c["bom-ref"]: c for c in found}.values())
