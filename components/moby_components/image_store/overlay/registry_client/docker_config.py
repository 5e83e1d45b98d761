"""Docker's config.json: who we are at a registry, from `auths`, `credHelpers` and `credsStore`.

Helpers are `docker-credential-NAME get` with the server on stdin and JSON on stdout
(github.com/docker/docker-credential-helpers); nothing secret is ever an argument or logged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby_py.errors import InvalidArgument, MobyError, Unavailable
from moby_py.model import RegistryAuth
from moby_py.reference import DEFAULT_DOMAIN

from .problems import readable

HUB_KEY = "https://index.docker.io/v1/"
MAX_BYTES = 1 << 20
IDENTITY_USER = "<token>"  # helpers say so when the secret is an identity token
NOT_FOUND = "credentials not found"


def config_path(given: Path | None) -> Path:
    """The config.json to read: the option, $DOCKER_CONFIG, or ~/.docker."""
    if given:
        return given
    folder = os.environ.get("DOCKER_CONFIG")
    return (Path(folder) if folder else Path.home() / ".docker") / "config.json"


async def credentials(path: Path, domain: str, *, timeout: float) -> RegistryAuth | None:
    """What config.json knows for `domain`; None for an anonymous pull. Read anew at each call:
    `docker login` in between counts. Raises InvalidArgument for a broken file, Unavailable for a
    helper that is missing, fails or takes longer than `timeout` seconds."""
    config = _read(path)
    server = HUB_KEY if domain == DEFAULT_DOMAIN else domain
    helpers = config.get("credHelpers")
    helper = helpers.get(server) or helpers.get(domain) if isinstance(helpers, dict) else None
    helper = helper or config.get("credsStore")
    if isinstance(helper, str) and helper:
        found = await _ask(helper, server, timeout)
        if found:
            return found
    return _stored(path, config, domain)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Unavailable(f"cannot read {path} - {str(error.strerror).lower()}") from error
    try:
        found = json.loads(data) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"cannot use {path} - it is not JSON", hint="docker login writes it") from error
    if not isinstance(found, dict):
        raise InvalidArgument(f"cannot use {path} - it is not a JSON object of at most 1 MiB")
    return found


def _stored(path: Path, config: Mapping[str, Any], domain: str) -> RegistryAuth | None:
    auths = config.get("auths")
    if not isinstance(auths, dict):
        return None
    wanted = {"docker.io", "index.docker.io"} if domain == DEFAULT_DOMAIN else {domain}
    exact = [key for key in auths if key in wanted]
    for key in [*exact, *(key for key in auths if _bare(key) in wanted and key not in exact)]:
        entry = auths[key]
        if isinstance(entry, dict) and (found := _entry(path, key, entry)):
            return found
    return None


def _bare(key: str) -> str:
    """The host of a key that was written as a URL ("https://index.docker.io/v1/")."""
    return re.sub(r"^https?://", "", key).partition("/")[0]


def _entry(path: Path, key: str, entry: Mapping[str, Any]) -> RegistryAuth | None:
    user, password = entry.get("username") or "", entry.get("password") or ""
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            decoded = base64.b64decode(entry["auth"], validate=True).decode().rstrip("\0")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidArgument(
                f"cannot use {path} - auths.{readable(key)}.auth is not base64 of USER:PASSWORD",
                hint=f"docker login {_bare(key)}",
            ) from error
        user, _, password = decoded.partition(":")
    found = RegistryAuth(
        username=str(user),
        password=str(password),
        identity_token=str(entry.get("identitytoken") or ""),
        registry_token=str(entry.get("registrytoken") or ""),
        server=key,
    )
    return None if is_empty(found) else found


def is_empty(auth: RegistryAuth | None) -> bool:
    """Nothing to show to a registry."""
    return auth is None or not (auth.username or auth.identity_token or auth.registry_token)


async def _ask(helper: str, server: str, timeout: float) -> RegistryAuth | None:
    program = f"docker-credential-{helper}"

    def failed(why: str) -> MobyError:
        return Unavailable(
            f"cannot get credentials for {server} - {program} {why}",
            hint="repair the helper, or take credsStore/credHelpers out of Docker's config.json",
        )

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", helper):
        raise failed("is not a helper's name")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:
        raise failed(f"cannot be started: {str(error.strerror).lower()}") from error
    try:
        async with asyncio.timeout(timeout):
            await _tell(process.stdin, server)
            out = await _read_all(process.stdout, failed)
            status = await process.wait()
    except TimeoutError:
        raise failed(f"did not answer within {timeout:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if status:
        text = out.decode("utf-8", "replace")
        if NOT_FOUND in text:
            return None
        raise failed(f"failed with status {status}: {readable(text) or 'no message'}")
    return _helper_answer(out, server, failed)


async def _tell(stream: asyncio.StreamWriter | None, server: str) -> None:
    if stream is not None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer without reading
            stream.write(server.encode() + b"\n")
            await stream.drain()
        stream.close()


async def _read_all(stream: asyncio.StreamReader | None, failed: Any) -> bytes:
    data = bytearray()
    while stream and (chunk := await stream.read(65536)):
        data += chunk
        if len(data) > MAX_BYTES:
            raise failed("answered more than 1 MiB")
    return bytes(data)


def _helper_answer(out: bytes, server: str, failed: Any) -> RegistryAuth:
    try:
        found = json.loads(out)
        user, secret = found["Username"], found["Secret"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise failed("answered no JSON with Username and Secret") from None
    if user == IDENTITY_USER:
        return RegistryAuth(identity_token=str(secret), server=server)
    return RegistryAuth(username=str(user), password=str(secret), server=server)
