"""The platform's Docker API as the commands call it: paths, JSON, errors as `ApiError`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from moby_py.cli.docker.http import Response, Wire
from moby_py.directories import run_dir
from moby_py.elsewhere import find, platform_name
from moby_py.errors import MobyError

API = "/v1.47"


class ApiError(MobyError):
    """The platform said no: `status` is the HTTP status."""

    def __init__(self, status: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Unreachable(MobyError):
    """Nobody listens on the platform's socket."""


def with_status(error: MobyError, status: int) -> MobyError:
    """The same error with an exit status of its own (`run`: 125, 126, 127)."""
    error.exit_status = status  # type: ignore[misc]
    return error


class Client:
    """`directory` is the platform's (OUT)."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = socket_path(directory)

    # -- plumbing --------------------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json_body: Any = None,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        upgrade: bool = False,
    ) -> Response:
        """Returns when status and headers are here. Raises ApiError for 400 and above, Unreachable."""
        fields = {"Connection": "Upgrade", "Upgrade": "tcp"} if upgrade else {"Connection": "close"}
        if json_body is not None:
            body = json.dumps(json_body).encode()
            fields["Content-Type"] = "application/json"
        wire = self._connect()
        try:
            with suppress(BrokenPipeError):  # it answers without reading on: the answer says why
                wire.send(method, API + path + _query(query), {**fields, **(headers or {})}, body)
            response = Response(wire, method)
            if response.status >= 400:
                raise _refusal(response)
        except BaseException as error:
            wire.sock.close()
            if isinstance(error, ConnectionError):
                raise Unreachable(f"the platform in {self.directory} went away - {error}") from None
            raise
        return response

    def _connect(self) -> Wire:
        try:
            return Wire(self.path)
        except PermissionError:
            raise Unreachable(
                f"cannot reach the platform in {self.directory} - you may not use {self.path}",
                hint="join the group of the api's option `group`, or become its user",
            ) from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise Unreachable(
                f"the platform in {self.directory} is not up - nothing answers at {self.path}",
                hint=f"moby-py up -d {self.directory}",
            ) from None
        except OSError as error:
            raise Unreachable(
                f"cannot reach the platform in {self.directory} - {error.strerror or error}"
            ) from None

    # -- what commands use -----------------------------------------------------------------------

    def call(self, method: str, path: str, **how: Any) -> Any:
        """The answer's JSON; None when it is empty."""
        response = self.send(method, path, **how)
        try:
            data = response.read()
        finally:
            response.close()
        return json.loads(data) if data.strip() else None

    def get(self, path: str, **query: Any) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, json_body: Any = None, **query: Any) -> Any:
        return self.call("POST", path, json_body=json_body, query=query)

    def delete(self, path: str, **query: Any) -> Any:
        return self.call("DELETE", path, query=query)

    def objects(self, method: str, path: str, **how: Any) -> Iterator[Any]:
        """A stream of JSON objects, one per line."""
        response = self.send(method, path, **how)
        try:
            for line in response.lines():
                yield json.loads(line)
        finally:
            response.close()


def client() -> Client:
    """The client of the platform that the command line names."""
    return Client(click.get_current_context().obj)


def segment(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


def image_path(name: str) -> str:
    return quote(name, safe="/:@")


def filters(values: Iterable[str]) -> str:
    """`--filter KEY=VALUE` (several) as the API's JSON; "" for none."""
    found: dict[str, list[str]] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.UsageError(f"invalid filter {text!r} - write KEY=VALUE")
        found.setdefault(key, []).append(value)
    return json.dumps(found) if found else ""


def _query(query: Mapping[str, Any] | None) -> str:
    pairs: list[tuple[str, str]] = []
    for key, value in (query or {}).items():
        if value is None or value == "" or value is False:
            continue
        many = value if isinstance(value, list | tuple) else [value]
        pairs += [(key, "1" if one is True else str(one)) for one in many]
    return "?" + urlencode(pairs) if pairs else ""


def _refusal(response: Response) -> ApiError:
    try:
        text = str(json.loads(response.read())["message"])
    except (ValueError, KeyError, TypeError, OSError):
        text = f"the platform answered with status {response.status}"
    return ApiError(response.status, *our_words(text))


def our_words(text: str) -> tuple[str, str | None]:
    """(message, hint). The API speaks as Docker does: in sentences, the way out in the last of them."""
    message, _, hint = text.partition("\nhint: ")
    message, _, way = message.removeprefix("Conflict. ").partition(". You have to ")
    if message[1:2].islower() or message[1:2] == " ":
        message = message[0].lower() + message[1:]
    return message, hint or way.rstrip(".") or None


def socket_path(directory: str) -> str:
    """OUT/platform.yaml has the name, and the name has the directory. Raises MobyError."""
    name = platform_name(directory)
    place = find(Path(directory), name, anyones=True)
    return str((place.run if place else run_dir(name)) / "docker.sock")
