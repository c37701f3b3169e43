"""Takes secrets out of a text that is about to be written anywhere: by value those that are known, by shape the others.

Log lines, failure pages and stored errors all pass it, for a foreign system or a library may quote what it was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable

from django.conf import settings

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
    (re.compile(r"(/webhooks/monday/)[^/\s'\"\\]+"), rf"\1{HIDDEN}"),
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
    """Return a secret as a finished line may have it: as it is, as a Python literal, and either in JSON."""
    plain = {secret, repr(secret)[1:-1]}
    return plain | {json.dumps(one)[1:-1] for one in plain}


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str] | None:
    long_enough = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
    known = sorted({form for secret in long_enough for form in _spellings(secret)}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, known))) if known else None


class Redactor:
    """Takes secrets out of a text; also those that joined the collection after it was made."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = secrets
        self._known: tuple[int, re.Pattern[str] | None] = (-1, None)

    def known_only(self, text: str) -> str:
        """Remove known secrets only; shapes would cut into HTML."""
        # One read of the pair: another thread may replace it meanwhile.
        count, known = self._known
        if count != len(self._secrets):
            secrets = list(self._secrets)
            known = _pattern_of(secrets)
            self._known = (len(secrets), known)
        return known.sub(HIDDEN, text) if known else text

    def __call__(self, text: str) -> str:
        text = self.known_only(text)
        for shape, replacement in SHAPES:
            text = shape.sub(replacement, text)
        return text


def without_secrets(text: str) -> str:
    """Return an error as it may be stored."""
    return Redactor(settings.SECRET_TEXTS)(text)
