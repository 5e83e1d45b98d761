"""From a reference's domain to where and how to connect: scheme, certificates, mirrors, proxies.

Plain HTTP is for loopback and for what the options call insecure; everything else is TLS, checked.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from moby_py.errors import Unavailable
from moby_py.reference import DEFAULT_DOMAIN

from .types import RegistryOptions

HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server that speaks the registry protocol.

    schemes:  tried in this order until one answers
    domain:   the name credentials are kept under
    mirror:   its base URL when it stands in for another registry
    prefix:   path before /v2/, of a mirror
    """

    netloc: str
    schemes: tuple[str, ...]
    domain: str
    verify: bool = True
    mirror: str = ""
    prefix: str = ""


class Hosts:
    """Pure apart from reading certificate folders; contexts are made once per host."""

    def __init__(self, options: RegistryOptions) -> None:
        self._options = options
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}
        self._networks = [n for n in map(_network, options.insecure) if n]

    def origin(self, domain: str) -> Endpoint:
        """The registry that owns the names of `domain`."""
        netloc = HUB if domain == DEFAULT_DOMAIN else domain
        insecure = self._is_insecure(netloc)
        plain = insecure or is_loopback(netloc)
        return Endpoint(netloc, ("https", "http") if plain else ("https",), domain, verify=not insecure)

    def mirrors(self, domain: str) -> list[Endpoint]:
        """What to ask before `origin(domain)`."""
        found = []
        for url in self._options.mirrors.get(domain, ()):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.username:
                raise Unavailable(
                    f"mirror {url} of {domain} cannot be used - it is no http or https URL without a user"
                )
            insecure = self._is_insecure(parts.netloc)
            if parts.scheme == "http" and not (insecure or is_loopback(parts.netloc)):
                raise Unavailable(
                    f"mirror {url} of {domain} cannot be used - plain HTTP is for loopback and insecure ones",
                    hint=f"write https, or list {parts.netloc} as insecure",
                )
            prefix = parts.path.rstrip("/")
            found.append(
                Endpoint(parts.netloc, (parts.scheme,), parts.netloc, not insecure, url.rstrip("/"), prefix)
            )
        return found

    def may_be_plain(self, netloc: str) -> bool:
        """May bytes to this host travel unencrypted?"""
        return is_loopback(netloc) or self._is_insecure(netloc)

    def context(self, netloc: str, *, verify: bool) -> ssl.SSLContext:
        """TLS settings for a host: system CAs, certs.d CAs and client certificates."""
        if (netloc, verify) not in self._contexts:
            self._contexts[netloc, verify] = self._make_context(netloc, verify)
        return self._contexts[netloc, verify]

    def proxy(self, scheme: str, netloc: str) -> str | None:
        """HTTP_PROXY, HTTPS_PROXY, NO_PROXY; loopback is always direct. No netrc."""
        host = _host(netloc)
        if not self._options.use_proxies or is_loopback(netloc):
            return None
        if urllib.request.proxy_bypass(host):
            return None
        proxies = urllib.request.getproxies()
        return proxies.get(scheme) or proxies.get("all")

    def _make_context(self, netloc: str, verify: bool) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for folder in self._folders(netloc):
            for file in sorted(folder.iterdir()):
                try:
                    if file.suffix == ".crt":
                        context.load_verify_locations(cafile=file)
                    elif file.suffix == ".cert":
                        context.load_cert_chain(file, file.with_suffix(".key"))
                except (OSError, ssl.SSLError) as error:
                    raise Unavailable(
                        f"cannot use {file} for {netloc} - {str(error.strerror or error).lower()}",
                        hint="a .cert needs its .key beside it, both PEM and readable",
                    ) from error
        return context

    def _folders(self, netloc: str) -> Iterator[Path]:
        names = (DEFAULT_DOMAIN, netloc) if netloc == HUB else (netloc,)
        for base in self._options.certificates:
            yield from (base / name for name in names if os.path.isdir(base / name))  # noqa: PTH112

    def _is_insecure(self, netloc: str) -> bool:
        if netloc in self._options.insecure or _host(netloc) in self._options.insecure:
            return True
        try:
            address = ipaddress.ip_address(_host(netloc))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def is_loopback(netloc: str) -> bool:
    """127.0.0.0/8, ::1 and the name localhost."""
    host = _host(netloc)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(netloc: str) -> str:
    return urlsplit(f"//{netloc}").hostname or ""


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text) if "/" in text else None
    except ValueError:
        return None
