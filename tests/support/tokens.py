"""A small real token server for docker-registry: RFC 7519 tokens signed RS256, the answers of
distribution's token specification (GET) and its OAuth2 one (POST)."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ISSUER, SERVICE = "test-issuer", "test-registry"


@dataclass
class TokenServer:
    """`asked` lists every request as a dict (method, scope, user, grant_type, ...)."""

    url: str = ""
    key: Path = Path()
    certificate: Path = Path()
    username: str = ""
    password: str = ""
    lifetime: int = 300
    """Seconds a token lives; the registry allows 60 s of clock skew on top."""
    omit_token_key: bool = False
    """Answer with `access_token` only, as some registries do."""
    refresh_tokens: set[str] = field(default_factory=set)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def token(self, subject: str, scopes: list[str]) -> str:
        """A signed JWT. Anonymous callers get `pull`, and only below "public/"."""
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = actions.split(",")
            if not subject:
                allowed = [a for a in allowed if a == "pull" and name.startswith("public/")]
            access.append({"type": kind, "name": name, "actions": allowed})
        now = int(time.time())
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {
            "iss": ISSUER,
            "aud": SERVICE,
            "sub": subject,
            "iat": now,
            "nbf": now - 5,
            "exp": now + self.lifetime,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        signed = ".".join(_b64(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=signed.encode(),
            capture_output=True,
            check=True,
        ).stdout
        return f"{signed}.{_b64(signature)}"

    def answer(self, subject: str, scopes: list[str], *, refresh: bool) -> dict[str, Any]:
        token = self.token(subject, scopes)
        body: dict[str, Any] = {"access_token": token, "expires_in": self.lifetime}
        if not self.omit_token_key:
            body["token"] = token
        if refresh:
            body["refresh_token"] = secrets.token_urlsafe(24)
            self.refresh_tokens.add(body["refresh_token"])
        return body


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        tokens, query = self.server.tokens, parse_qs(urlsplit(self.path).query)
        basic = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, password = base64.b64decode(basic).decode().partition(":")
        scopes = [s for value in query.get("scope", []) for s in value.split(" ")]
        tokens.asked.append({"method": "GET", "scope": scopes, "user": user, "service": query.get("service")})
        if user and (user, password) != (tokens.username, tokens.password):
            self._send(
                401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}
            )
        else:
            self._send(200, tokens.answer(user, scopes, refresh="offline_token" in query))

    def do_POST(self) -> None:
        tokens = self.server.tokens
        form = {
            k: v[0]
            for k, v in parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()).items()
        }
        scopes = form.get("scope", "").split(" ") if form.get("scope") else []
        tokens.asked.append({"method": "POST", "scope": scopes, "grant_type": form.get("grant_type")})
        good = (
            form.get("refresh_token") in tokens.refresh_tokens
            if form.get("grant_type") == "refresh_token"
            else (form.get("username"), form.get("password")) == (tokens.username, tokens.password)
        )
        if good:
            offline = form.get("access_type") == "offline"
            self._send(200, tokens.answer(tokens.username, scopes, refresh=offline))
        else:
            self._send(401, {"error": "invalid_grant", "error_description": "refresh token is not valid"})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    tokens: TokenServer
    daemon_threads = False
    block_on_close = True


@contextmanager
def token_server(key: Path, certificate: Path, *, username: str, password: str) -> Iterator[TokenServer]:
    """Runs on a free loopback port in threads of this process."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.tokens = TokenServer(
        url=f"http://127.0.0.1:{server.server_port}/token",
        key=key,
        certificate=certificate,
        username=username,
        password=password,
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="token-server")
    thread.start()
    try:
        yield server.tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
