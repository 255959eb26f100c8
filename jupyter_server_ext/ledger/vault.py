"""Encryption of people's words in the ledger: prompts where a tenant's policy says so, answers for repeats."""

# Both are authenticated encryption of the package ``cryptography``, which is loaded when it is first needed.

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from jupyter_server_ext.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.fernet import MultiFernet

    from jupyter_server_ext.config import Secret

_NONCE = 12  # bytes, as AES-GCM has it


class PromptVault:
    """Prompts, encrypted with the administrator's keys.

    Args:
        keys: Fernet keys: the first encrypts, all decrypt, so that keys can be changed.

    Raises:
        ConfigError: One of them is no key.
    """

    def __init__(self, keys: Sequence[Secret]) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            self._first, *others = (Fernet(key.reveal()) for key in keys)
            self._fernet: MultiFernet = MultiFernet([self._first, *others])
        except ValueError:
            raise ConfigError(
                "'prompt_keys' in [storage] must hold keys of 32 bytes in URL-safe base64. Make one: python -c "
                '"from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
            ) from None

    def seal(self, text: bytes) -> bytes:
        """The text, unreadable without the key."""
        return self._fernet.encrypt(text)

    def open(self, sealed: bytes) -> bytes | None:
        """The text; None when none of the keys opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None

    def reseal(self, sealed: bytes) -> bytes | None:
        """The same text sealed with the first key: as it is where it was already, None where no key opens it."""
        from cryptography.fernet import InvalidToken

        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            text = self.open(sealed)
            return None if text is None else self.seal(text)
        return sealed


class AnswerVault:
    """An answer, encrypted with what only the caller who may repeat the request knows: its Idempotency-Key."""

    def __init__(self, caller: str, key: str) -> None:
        self._key = hashlib.sha256(f"rsql answer\0{caller}\0{key}".encode("utf-8", "surrogatepass")).digest()

    def seal(self, text: bytes) -> bytes:
        """The text, unreadable without the key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        # Random, as one key may seal the answer of a request again after a crash.
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key).encrypt(nonce, text, None)

    def open(self, sealed: bytes) -> bytes | None:
        """The text; None when it is damaged."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            return AESGCM(self._key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except InvalidTag:
            return None
