"""One plugin's protocol: JSON over HTTP POST, every answer bounded in time and size and checked.

A plugin is another program with bugs of its own. Whatever it answers ends here as values of the type
that was asked for or as one clear error.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any

from moby_components.network.remote.discovery import Plugin
from moby_py.errors import MobyError, RuntimeFailed, Unavailable

LARGEST_ANSWER = 1 << 20
_ACCEPT = "application/vnd.docker.plugins.v1.2+json"


class NotImplementedByPlugin(RuntimeFailed):
    """The plugin does not know this call (HTTP 404); some calls are not mandatory."""


class Client:
    """Calls of one plugin. Activates it before the first call, and again after it was unreachable."""

    def __init__(self, plugin: Plugin, timeout: float) -> None:
        self.plugin = plugin
        self._timeout = timeout
        self._implements: frozenset[str] = frozenset()

    async def require(self, what: str) -> None:
        """Activate it, and see that it implements "NetworkDriver" or "IpamDriver"."""
        if not self._implements:
            try:
                answer = await self._post("Plugin.Activate", None)
                found = answer.get("Implements")
                if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
                    raise self._garbage("Plugin.Activate", "no list in Implements")
            except MobyError as error:
                raise type(error)(f"legacy plugin: {error.message}", hint=error.hint) from error
            self._implements = frozenset(found)
        if what not in self._implements:
            raise RuntimeFailed(
                "legacy plugin: plugin does not implement the requested driver: "
                f"{self.plugin.name} is no {what}"
            )

    async def call(self, method: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST /METHOD. Raises Unavailable (not reached, no answer in time), NotImplementedByPlugin,
        RuntimeFailed "remote: ..." with the plugin's own error."""
        await self.require(method.partition(".")[0])
        answer = await self._post(method, body)
        said = answer.get("Err") or answer.get("Error")
        if said:
            raise RuntimeFailed(f"remote: {str(said)[:2000]}")
        return answer

    def text(self, method: str, answer: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
        """Fields of an answer that must be text; absent and null are ""."""
        found = tuple(answer.get(key) or "" for key in keys)
        if not all(isinstance(value, str) and len(value) < 4096 for value in found):
            raise self._garbage(method, f"no text in {' or '.join(keys)}")
        return found

    async def _post(self, method: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        import aiohttp

        data = json.dumps(body).encode() if body is not None else b""
        if self.plugin.socket:
            connector: aiohttp.BaseConnector = aiohttp.UnixConnector(self.plugin.socket)
            url = f"http://plugin/{method}"
        else:
            connector = aiohttp.TCPConnector(ssl=self._tls())
            url = f"{self.plugin.url}/{method}"
        headers = {"Accept": _ACCEPT, "Content-Type": _ACCEPT}
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session,
                session.post(url, data=data, allow_redirects=False) as response,
            ):
                raw = b""
                async for part in response.content.iter_any():
                    raw += part
                    if len(raw) > LARGEST_ANSWER:
                        raise self._garbage(method, f"more than {LARGEST_ANSWER >> 20} MiB")
                status = response.status
        except TimeoutError as error:
            raise self._unreachable(method, f"no answer after {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = getattr(error, "os_error", None) or error
            words = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
            raise self._unreachable(method, words) from error
        return self._read(method, status, raw)

    def _read(self, method: str, status: int, raw: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            answer = None
        if status == 404:
            raise NotImplementedByPlugin(f"{method}: {self.plugin.name} does not know this call")
        if status != 200:
            said = (answer.get("Err") or answer.get("Error")) if isinstance(answer, dict) else None
            raise RuntimeFailed(
                f"{method}: {str(said or raw[:500].decode(errors='replace')).strip() or f'HTTP {status}'}"
            )
        if not isinstance(answer, dict):
            raise self._garbage(method, "not a JSON object")
        return answer

    def _tls(self) -> ssl.SSLContext | bool:
        tls = self.plugin.tls
        if not tls:
            return True
        context = ssl.create_default_context(cafile=str(tls["CAFile"]) if tls.get("CAFile") else None)
        if tls.get("InsecureSkipVerify") is True:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if tls.get("CertFile") and tls.get("KeyFile"):
            context.load_cert_chain(str(tls["CertFile"]), str(tls["KeyFile"]))
        return context

    def _unreachable(self, method: str, why: str) -> Unavailable:
        self._implements = frozenset()
        return Unavailable(
            f"plugin {self.plugin.name} does not answer {method} - {why}",
            hint=f"start the plugin that listens at {self.plugin.address}",
        )

    def _garbage(self, method: str, what: str) -> RuntimeFailed:
        return RuntimeFailed(f"plugin {self.plugin.name} answered {method} with garbage - {what}")
