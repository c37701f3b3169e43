"""Secrets in texts: encrypted where the database may hold and nobody may read them, and taken out of whatever is
written.

The key is one that the settings alone know.
"""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

# Keeps the keys apart from whatever else is derived from the same setting (signatures, sessions).
_PURPOSE = b"npd-sync: texts stored encrypted, 1"


class KeyChanged(Exception):
    """None of the keys of now made this text: ENCRYPTION_KEY, or SECRET_KEY where that isn't set, was changed."""


def encrypt(text: str) -> str:
    """Return the text as it may be stored; twice the same text is stored as two different ones."""
    return _cipher(tuple(settings.ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(stored: str) -> str:
    """Return what `encrypt` was given, by the key of now or an older one; raises KeyChanged."""
    return _decrypted(stored, tuple(settings.ENCRYPTION_KEYS))


def encrypted_anew(stored: str) -> str | None:
    """The same by the key of now where an older one made it, so that the older can go; None where none has to, or can.

    That is so of what the key of now made, and of what no key of now opens.
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


# Pure, so that a cache can't be stale: every call of Monday reads its token, and a key takes a millisecond to derive.
@lru_cache(maxsize=64)
def _decrypted(stored: str, keys: tuple[str, ...]) -> str:
    try:
        return _cipher(keys).decrypt(stored.encode()).decode()
    except InvalidToken:
        raise KeyChanged from None


@lru_cache(maxsize=8)
def _cipher(keys: Sequence[str]) -> MultiFernet:
    derived = [HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode()) for key in keys]
    return MultiFernet([Fernet(urlsafe_b64encode(key)) for key in derived])


# Takes secrets out of a text that is about to be written anywhere: by value those that are known, by shape the others.
# Log lines, failure pages and stored errors all pass it, for a foreign system or a library may quote what it was sent.


HIDDEN = "[secret]"

# The finished line may be JSON: there a quote inside a text has a backslash, and a line's end is the two
# letters \n. A secret ends before that backslash, or the line could not be parsed any more.
QUOTE = r"""\\*['\"]"""
IS = rf"""(?:{QUOTE})?\s*[:=]\s*(?:{QUOTE})?"""
VALUE = rf"""(?:[^\s'\",}}\\]|\\(?!{QUOTE}))+"""
IN_ADDRESS = rf"""(?:[^&\s'\"\\]|\\(?!{QUOTE}))+"""
IN_HEADER = rf"""(?:[^\s'\"\\]|\\(?!{QUOTE}))"""
BEGIN = r"(?:\b|(?<=\\[nrt]))"

SHAPES = [
    (re.compile(rf"(?i)(authorization{IS})(?:(?:bearer|token|basic)\s+)?{VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)((?:api[_-]?(?:key|token)|signing[_-]?secret|password){IS}){VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(r"(/webhooks/monday/|/set-password/[^/\s'\"\\]+/)[^/\s'\"\\]+"), rf"\1{HIDDEN}"),
    (re.compile(BEGIN + r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), HIDDEN),
    (re.compile(r"(://[^:/\s@]*:)[^@/\s]+@"), rf"\1{HIDDEN}@"),
    # A token without its header, and what makes an address valid: our ?token=, an upload's ?X-Amz-Signature=.
    (re.compile(rf"(?i){BEGIN}(bearer )(?={IN_HEADER}*(?:[\d_~+/=-]|\.\w)){IN_HEADER}{{8,}}"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)([?&](?:(?:access_|api_?)?(?:token|key|secret)|x-amz-(?:signature|credential|security-token))=)"
            + IN_ADDRESS
        ),
        rf"\1{HIDDEN}",
    ),
]

SHORTEST_SECRET = 6  # a shorter text would black out ordinary words


def _spellings(secret: str) -> set[str]:
    """Return a secret as a finished line may have it: as it is, in an address, as a literal, and each in JSON."""
    plain = {secret, repr(secret)[1:-1], quote(secret, safe="")}
    return plain | {json.dumps(text)[1:-1] for text in plain}


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    long_enough = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    spellings = sorted({form for secret in long_enough for form in _spellings(secret)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, spellings))) if spellings else None


class Redactor:
    """Takes secrets out of a text; also those that joined the collection after it was made."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = secrets
        self._known: tuple[int, re.Pattern[str] | None] = (-1, None)

    def known_only(self, text: str) -> str:
        """Remove known secrets only; shapes would cut into HTML."""
        # One read of the pair: another thread may replace it meanwhile.
        count, pattern = self._known
        if count != len(self._secrets):
            secrets = list(self._secrets)
            pattern = _pattern_of(secrets)
            self._known = (len(secrets), pattern)
        return pattern.sub(HIDDEN, text) if pattern else text

    def __call__(self, text: str) -> str:
        text = self.known_only(text)
        for shape, replacement in SHAPES:
            text = shape.sub(replacement, text)
        return text


def without_secrets(text: str) -> str:
    """Return an error as it may be stored."""
    return Redactor(settings.SECRET_TEXTS)(text)
