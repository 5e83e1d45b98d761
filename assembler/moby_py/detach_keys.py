"""Detach keys: ctrl-p ctrl-q on a terminal's input, also for clients that do not look themselves."""

from __future__ import annotations

from moby_py.errors import InvalidArgument

DEFAULT = b"\x10\x11"


def parse(text: str) -> bytes:
    """ "ctrl-p,ctrl-q" or "a,b" -> the bytes to wait for; "" is the default. Raises InvalidArgument."""
    if not text:
        return DEFAULT
    keys = bytearray()
    for key in text.split(","):
        if len(key) == 1 and key.isascii():
            keys += key.encode()
        elif key.startswith("ctrl-") and len(key) == 6 and ("a" <= key[5] <= "z" or key[5] in "@[\\]^_"):
            keys.append(ord(key[5].upper()) - 64)
        else:
            raise InvalidArgument(f"invalid detach keys ({text}) provided: unknown character {key!r}")
    return bytes(keys)


class DetachFilter:
    """Feed it input; it gives back what to pass on. `hit` turns true with the last key. Bytes of a
    sequence begun but not finished are held until the next input decides."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0
        self.hit = False

    def feed(self, data: bytes) -> bytes:
        keys, out = self._keys, bytearray()
        if not self._held and keys[0] not in data:
            return data
        for byte in data:
            if byte == keys[self._held]:
                self._held += 1
                if self._held == len(keys):
                    self.hit = True
                    return bytes(out)
                continue
            out += keys[: self._held]
            self._held = 1 if byte == keys[0] else 0
            if not self._held:
                out.append(byte)
        return bytes(out)
