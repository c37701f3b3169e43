"""Secrets in texts: encrypted for the database, with keys of the settings, and removed from logs and errors."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# Separates these keys from others derived from the same setting (signatures, sessions).
_PURPOSE = b"npd-sync: texts stored encrypted, 1"


class KeyChanged(Exception):
    """No current key decrypts the text: ENCRYPTION_KEY, or without one SECRET_KEY, was changed."""


def encrypt(text: str) -> str:
    """Encrypt a text for the database; equal texts get different results."""
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Decrypt with the current key or an older one; raises KeyChanged."""
    return _decrypted(stored, tuple(settings.ENCRYPTION_KEYS))


def reencrypt(stored: str) -> str | None:
    """Encrypt a text of an older key with the current one, so that the older can be removed.

    None if the current key encrypted it, or no key decrypts it.
    """
    keys = tuple(settings.ENCRYPTION_KEYS)
    try:
        _decrypted(stored, keys[:1])
    except KeyChanged:
        try:
            return encrypt(_decrypted(stored, keys))
        except KeyChanged:
            pass
    return None


# Cached, because every call to Monday reads the token, and deriving a key takes a millisecond.
@lru_cache(maxsize=64)
def _decrypted(stored: str, keys: tuple[str, ...]) -> str:
    try:
        return _cipher(keys).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise KeyChanged from None


@lru_cache(maxsize=8)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    derived = [HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode()) for key in keys]
    return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in derived])


HIDDEN = "[secret]"

# The finished line may be JSON. A quote inside its texts has a backslash, before which a secret ends, or the line would
# be invalid. A line's end inside them is the two characters \n: a secret may begin right after it (BEGIN).
QUOTE = r"""\\*['\"]"""
IS = rf"""(?:{QUOTE})?\s*[:=]\s*(?:{QUOTE})?"""  # between a secret's name and the secret
VALUE = rf"""(?:[^\s'\",}}\\]|\\(?!{QUOTE}))+"""
IN_ADDRESS = rf"""(?:[^&\s'\"\\]|\\(?!{QUOTE}))+"""
IN_HEADER = rf"""(?:[^\s'\"\\]|\\(?!{QUOTE}))"""
BEGIN = r"(?:\b|(?<=\\[nrt]))"

SHAPES = [
    (re.compile(rf"(?i)(authorization{IS})(?:(?:bearer|token|basic)\s+)?{VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)((?:api[_-]?(?:key|token)|signing[_-]?secret|password){IS}){VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(r"(/webhooks/monday/|/set-password/[^/\s'\"\\]+/)[^/\s'\"\\]+"), rf"\1{HIDDEN}"),
    (re.compile(BEGIN + r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), HIDDEN),  # a JWT
    (re.compile(r"(://[^:/\s@]*:)[^@/\s]+@"), rf"\1{HIDDEN}@"),  # the password in an address
    # A token without its header: it has a digit or a sign, unlike the words “bearer certificate”.
    (re.compile(rf"(?i){BEGIN}(bearer )(?={IN_HEADER}*(?:[\d_~+/=-]|\.\w)){IN_HEADER}{{8,}}"), rf"\1{HIDDEN}"),
    # Secrets in addresses: our ?token=, an upload's ?X-Amz-Signature=.
    (
        re.compile(
            r"(?i)([?&](?:(?:access_|api_?)?(?:token|key|secret)|x-amz-(?:signature|credential|security-token))=)"
            + IN_ADDRESS
        ),
        rf"\1{HIDDEN}",
    ),
]

SHORTEST_REMOVED = 6  # a shorter text would black out ordinary words


class Redactor:
    """Removes secrets from a text, known ones by value and others by shape.

    Log lines, failure pages and stored errors pass it, because other systems and libraries may quote what they were
    sent. Secrets added to the collection later count too; it only grows, so its length tells whether it has changed.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = secrets
        self._known: tuple[int, re.Pattern[str] | None] = (-1, None)

    def known_only(self, text: str) -> str:
        """Remove known secrets only; shapes would cut into HTML."""
        # Read the pair at once: another thread may replace it.
        count, pattern = self._known
        if count != len(self._secrets):
            secrets = list(self._secrets)
            spellings = set()
            for secret in secrets:
                if len(secret) >= SHORTEST_REMOVED:
                    # Plain, in an address, as a literal, and each in JSON.
                    plain = {secret, repr(secret)[1:-1], quote(secret, safe="")}
                    spellings |= plain | {json.dumps(text)[1:-1] for text in plain}
            # The longest first, because one secret may begin as another one.
            forms = [re.escape(text) for text in sorted(spellings, key=len, reverse=True)]
            pattern = re.compile("|".join(forms)) if forms else None
            self._known = (len(secrets), pattern)
        return pattern.sub(HIDDEN, text) if pattern else text

    def __call__(self, text: str) -> str:
        text = self.known_only(text)
        for shape, replacement in SHAPES:
            text = shape.sub(replacement, text)
        return text


def without_secrets(text: str) -> str:
    """Remove secrets from an error before it is stored."""
    return Redactor(settings.SECRET_TEXTS)(text)
