"""Names for containers that got none: adjective_surname, from our own list; and 64-hex ids."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Container

from moby_py.errors import InvalidArgument

_ADJECTIVES = (
    "able agile amber balmy bold brave breezy bright brisk calm candid careful cheerful chilly clever cosy "
    "curious daring deft eager early earnest fair fearless fond frosty gentle glad golden graceful handy "
    "hardy hearty honest humble jolly keen kind lively loyal lucky mellow merry mild modest nimble "
    "patient plucky ready polite proud quick quiet rapid steady sunny swift tidy warm witty"
)
_SURNAMES = (
    "allen anning babbage banneker bell blackburn boole booth borg carson cerf clarke codd cray "
    "curie chandrasekhar darwin dijkstra earhart einstein engelbart euler faraday fermi feynman floyd "
    "franklin galileo gauss goodall hamilton herschel hertz hoare hopper hypatia kay kepler knuth "
    "kovalevskaya lamarr lamport borel lovelace maxwell meitner mendel moore newton "
    "noether pascal perlman planck ramanujan ritchie shannon thompson turing wing wirth"
)
ADJECTIVES, SURNAMES = _ADJECTIVES.split(), _SURNAMES.split()
VALID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def random_name(taken: Container[str]) -> str:
    """A name not in `taken`; with a digit appended when the lists run dry."""
    for attempt in range(100):
        name = f"{random.choice(ADJECTIVES)}_{random.choice(SURNAMES)}"  # noqa: S311 - a name is no secret
        if attempt > 50:
            name += str(random.randrange(1000))  # noqa: S311
        if name not in taken:
            return name
    return f"{random.choice(ADJECTIVES)}_{secrets.token_hex(6)}"  # noqa: S311


def check_name(name: str) -> str:
    """The name without Docker's leading slash. Raises InvalidArgument."""
    bare = name.removeprefix("/")
    if not VALID.fullmatch(bare) or len(bare) > 255:
        raise InvalidArgument(
            f"Invalid container name ({name}), only {VALID.pattern.removesuffix('+')} are allowed"
        )
    return bare


def new_id() -> str:
    """64 hexadecimal digits, whose first 12 are not all decimal (a host name must not be a number)."""
    while True:
        id = secrets.token_hex(32)
        if not id[:12].isdecimal():
            return id
