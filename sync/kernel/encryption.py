"""Texts that the database may hold and nobody may read there: encrypted with a key that the settings alone know."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE = b"npd-sync: texts stored encrypted, 1"
"""Keeps the keys apart from whatever else is derived from the same setting (signatures, sessions)."""


class KeyChanged(Exception):
    """None of the keys of now made this text: ENCRYPTION_KEY, or SECRET_KEY where that isn't set, was changed."""


def encrypt(text: str) -> str:
    """Return the text as it may be stored; twice the same text is stored as two different ones."""
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Return what `encrypt` was given, by the key of now or an older one; raises KeyChanged."""
    return _decrypted(stored, tuple(settings.ENCRYPTION_KEYS))


def is_current(stored: str) -> bool:
    """Whether the key of now made it, so that older keys may be taken out of the settings."""
    try:
        _decrypted(stored, tuple(settings.ENCRYPTION_KEYS[:1]))
    except KeyChanged:
        return False
    return True


# Pure, so that a cache can't be stale: every call of Monday reads its token, and a key takes a millisecond to derive.
@lru_cache(maxsize=64)
def _decrypted(stored: str, keys: tuple[str, ...]) -> str:
    try:
        return _cipher(keys).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise KeyChanged from None


@lru_cache(maxsize=8)
def _cipher(keys: Sequence[str]) -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in keys])


def _derived(secret: str) -> bytes:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return urlsafe_b64encode(derived)
