"""--network: a plain name, or docker's long form `name=back,alias=db,ip=10.90.0.7,...`."""

from __future__ import annotations

import csv
from typing import Any

import click

_KEYS = ("name", "alias", "ip", "ip6", "mac-address", "link-local-ip", "driver-opt", "gw-priority")


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """(network, EndpointSettings). Raises click.UsageError."""
    if "=" not in text or text.startswith("container:"):
        return text, {}
    network, settings = "", dict[str, Any]()
    for item in next(csv.reader([text])):
        key, _, value = item.strip().partition("=")
        match key.lower():
            case "name":
                network = value
            case "alias":
                settings.setdefault("Aliases", []).append(value)
            case "ip" | "ip6" | "link-local-ip" as which:
                _address(settings, which, value)
            case "mac-address":
                settings["MacAddress"] = value
            case "driver-opt":
                name, equals, option = value.partition("=")
                if not equals or not name:
                    raise click.UsageError(f"invalid driver-opt {value!r} in --network - write KEY=VALUE")
                settings.setdefault("DriverOpts", {})[name] = option
            case "gw-priority":
                if not value.lstrip("-").isdecimal():
                    raise click.UsageError(f"invalid gw-priority {value!r} in --network - write a number")
                settings["GwPriority"] = int(value)
            case _:
                raise click.UsageError(
                    f"unexpected key {key!r} in --network {text!r} - known are {', '.join(_KEYS)}"
                )
    if not network:
        raise click.UsageError(f"--network {text!r} names no network - add name=NETWORK")
    return network, settings


def _address(settings: dict[str, Any], which: str, value: str) -> None:
    config = settings.setdefault("IPAMConfig", {})
    if which == "link-local-ip":
        config.setdefault("LinkLocalIPs", []).append(value)
    else:
        config["IPv4Address" if which == "ip" else "IPv6Address"] = value
