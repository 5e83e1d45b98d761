"""What went wrong, told the same way everywhere: `cannot pull docker.io/library/x:1: what - why`.

Text that a registry wrote is shortened and stripped of control characters before anybody sees it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from moby_py.errors import (
    DataError,
    InvalidArgument,
    MobyError,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unsupported,
)
from moby_py.reference import DEFAULT_DOMAIN, Reference

MAX_DETAIL = 300
RETRYABLE = frozenset({408, 429, 500, 502, 503, 504})


class Retry(Exception):
    """This attempt failed, another may not. `error` is what to raise when there is none left."""

    def __init__(self, error: MobyError, *, after: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after


@dataclass(frozen=True, slots=True)
class Work:
    """What is being done, for whom: the beginning of every message. `via` names a mirror."""

    verb: str
    reference: Reference
    via: str = field(default="")

    @property
    def what(self) -> str:
        name = str(self.reference) if self.reference.path else self.reference.domain
        return f"cannot {self.verb} {name}"

    @property
    def registry(self) -> str:
        return f"mirror {self.via}" if self.via else "registry"

    def answered(self, status: int, detail: str, reason: str = "") -> MobyError:
        """A refusal by status. `detail` is the registry's own text, already readable."""
        told = detail or reason or "no reason given"
        message = f"{self.what}: {self.registry} answered {status} - {told}"
        login = f"docker login{self._login_name()}"
        if status == 401:
            return PermissionDenied(message, hint=f"{login}; or the repository does not exist")
        if status == 403:
            return PermissionDenied(message, hint=f"{login} as somebody who may do that")
        if status == 404:
            return NotFound(message, hint="check the name and the tag")
        if status == 429:
            return Unavailable(message, hint=f"wait, or {login} for a higher limit")
        if status in (405, 415):
            return Unsupported(message)
        if status == 400:
            return InvalidArgument(message)
        return Unavailable(message, hint="try again later" if status >= 500 else None)

    def unreachable(self, why: str, hint: str | None = None) -> Unavailable:
        """No answer at all."""
        return Unavailable(f"{self.what}: {self.registry} cannot be reached - {why}", hint=hint)

    def silent(self, why: str) -> Unavailable:
        """It took the connection and then nothing useful came."""
        hint = "check the network and the registry, then try again"
        return Unavailable(f"{self.what}: {self.registry} does not answer - {why}", hint=hint)

    def broken(self, why: str) -> DataError:
        """The answer is not what the protocol says."""
        hint = "the registry, or a proxy in between, is broken"
        return DataError(f"{self.what}: {self.registry} answered nonsense - {why}", hint=hint)

    def wrong_bytes(self, what: str, why: str) -> DataError:
        """Content that does not match its digest or size."""
        hint = "nothing was kept; try again, and distrust the registry when it stays so"
        return DataError(f"{self.what}: {what} is damaged - {why}", hint=hint)

    def unsupported(self, why: str, hint: str | None = None) -> Unsupported:
        return Unsupported(f"{self.what}: {why}", hint=hint)

    def _login_name(self) -> str:
        domain = self.reference.domain
        return "" if domain == DEFAULT_DOMAIN else f" {domain}"


def readable(text: str) -> str:
    """One printable line of at most 300 characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_DETAIL else line[: MAX_DETAIL - 3] + "..."


def detail_of(body: bytes, content_type: str) -> str:
    """The reason in an error answer: distribution's `errors` list, OAuth2's `error`, or plain text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        errors = found.get("errors")
        if isinstance(errors, list):
            told = [_one(e) for e in errors[:3] if isinstance(e, dict)]
            return readable("; ".join(filter(None, told)))
        for key in ("error_description", "details", "message", "error"):
            if isinstance(found.get(key), str):
                return readable(found[key])
        return ""
    if "html" in content_type or body.lstrip()[:1] == b"<":
        return "a web page, not a registry's answer"
    return readable(body.decode("utf-8", "replace"))


def _one(error: dict[str, object]) -> str:
    message = error.get("message")
    code = error.get("code")
    text = message if isinstance(message, str) and message else code
    return text if isinstance(text, str) else ""
