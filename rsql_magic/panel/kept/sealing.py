"""Authenticated encryption of what is kept, by a key in a file beside it."""

# AES-256-GCM with a random nonce for each text (NIST SP 800-38D): one key is good for 2^32 texts. What a text belongs
# to is authenticated with it, so that no sealed text can be put in the place of another.

from __future__ import annotations

import hashlib
import os
import secrets
import time
import zlib
from typing import TYPE_CHECKING

from rsql_magic.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

_KEY, _NONCE = 32, 12  # bytes
_SHORT = 1_000  # bytes; a longer text is compressed
_AS_IS, _COMPRESSED = b"\0", b"\1"
_PATIENCE = 1.0  # seconds for another process to write the key that it has begun


class SealBroken(BadInput):
    """A sealed text is damaged, or was sealed by another key."""


class Seal:
    """Seals and opens texts by one key.

    Example:
        >>> seal = Seal(bytes(32))
        >>> seal.open(seal.seal(b"words", "pair 1"), "pair 1")
        b'words'
        >>> seal.open(seal.seal(b"words", "pair 1"), "pair 2")
        Traceback (most recent call last):
        ...
        rsql_magic.panel.kept.sealing.SealBroken: What was kept cannot be read: ...
    """

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(hashlib.blake2b(key, digest_size=32, person=b"rsql text").digest())
        self._marks = hashlib.blake2b(key, digest_size=32, person=b"rsql mark").digest()

    @classmethod
    def at(cls, path: Path) -> Seal:
        """The seal of a key file, which is made, for its owner alone, where there is none.

        Raises:
            OSError: It cannot be read or made.
            BadInput: It holds no key.
        """
        try:
            made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return cls(_read_key(path))
        try:
            with os.fdopen(made, "wb") as file:
                file.write(key := secrets.token_bytes(_KEY))
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink()  # a full disk; a file without a key would be taken for a key that is lost
            raise
        return cls(key)

    def seal(self, text: bytes, about: str) -> bytes:
        """The text, unreadable without the key and bound to what it is about; longer ones are compressed."""
        kept = _COMPRESSED + zlib.compress(text, 1) if len(text) > _SHORT else _AS_IS + text
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, kept, about.encode())

    def open(self, sealed: bytes, about: str) -> bytes:
        """The text that was sealed about this.

        Raises:
            SealBroken: It is damaged, about something else, or was sealed by another key.
        """
        from cryptography.exceptions import InvalidTag

        try:
            kept = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], about.encode())
        except (InvalidTag, ValueError):
            reason = "What was kept cannot be read: it is damaged, or conversations.key is not its key."
            raise SealBroken(reason, hint="Put the key file back that was there, or delete it.") from None
        return zlib.decompress(kept[1:]) if kept[:1] == _COMPRESSED else kept[1:]

    def mark(self, text: str) -> bytes:
        """What a text is found by without telling it; the same for the same text and key."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=self._marks).digest()


def _read_key(path: Path) -> bytes:
    end = time.monotonic() + _PATIENCE
    while len(key := path.read_bytes()) < _KEY and time.monotonic() < end:
        time.sleep(0.01)  # another kernel is just writing it
    if len(key) != _KEY:
        hint = f"Put the file back, or delete it together with {path.with_suffix('.db').name}."
        raise BadInput(f"{path} holds no key.", hint=hint)
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)  # a copy or a backup may have widened it
    return key
