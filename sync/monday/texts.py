"""The two forms of a text: `canonical_text` is what is compared, `match_key` what finds.

PostgreSQL makes the same key by `MATCH_KEY_SQL`, for indexes and triggers.
"""

import re
import unicodedata

_INVISIBLE = (
    r"\u0001-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""What nobody sees: Unicode's Default_Ignorable_Code_Point, control characters, and blanks that are no white space."""
_SPACES = r"\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""White space as Python has it; what \\s means in PostgreSQL depends on the database's locale."""

_HIDDEN = re.compile(f"[{_INVISIBLE}]")
# Joiners and variation selectors behind a letter of another script, or a picture, change how that looks.
_HIDDEN_IN_LABELS = re.compile(
    rf"(?<![^\u0000-\u024f])[\u200c\u200d\ufe00-\ufe0f]|(?![\u200c\u200d\ufe00-\ufe0f])[{_INVISIBLE}]"
)

SEEN_SQL = f"regexp_replace(normalize(regexp_replace(__TEXT__, '[{_INVISIBLE}]+', '', 'g')), '[{_SPACES}]+', ' ', 'g')"
"""What is seen of the text that stands for __TEXT__: composed, each run of white space as one space."""

MATCH_KEY_SQL = f"replace(replace(replace(lower(btrim({SEEN_SQL})), 'ß', 'ss'), 'ς', 'σ'), 'i̇', 'i')"
"""`match_key` of the text that stands for __TEXT__; immutable, so that an index can hold it."""


def canonical_text(text: str | None) -> str | None:
    """Unicode NFC, line ends as \\n, outer whitespace dropped; None where nothing is left."""
    lines = (text or "").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", lines).strip() or None


def fold_whitespace(text: str | None) -> str | None:
    """Canonical text with each run of whitespace as one space."""
    return " ".join((canonical_text(text) or "").split()) or None


def match_key(text: str | None) -> str:
    """By what texts find each other: without case, runs of spaces and characters that nobody sees."""
    if not text:
        return ""
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    folded = " ".join(unicodedata.normalize("NFC", drop_invisible(text)).split()).casefold()
    # In Turkish capitals the dot stays behind as a letter of its own.
    return folded.replace("i̇", "i")


def drop_invisible(text: str) -> str:
    """The text of an address or a number, in which no character may be that nobody sees."""
    return text if text.isascii() and text.isprintable() else _HIDDEN.sub("", text)


def drop_from_label(text: str) -> str:
    """The text of a label without characters that nobody sees, but for those that shape what is seen."""
    return text if text.isascii() and text.isprintable() else _HIDDEN_IN_LABELS.sub("", text)


def name_invisible(text: str) -> str:
    """The text as a reason shows it: a character that nobody sees by its name, in brackets."""
    return _HIDDEN.sub(lambda found: f"[{unicodedata.name(found[0], f'U+{ord(found[0]):04X}').lower()}]", text)


_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|i|ins|kbd|li|mark|ol|p|pre|q|s|"
    r"samp|small|span|strike|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)"
    r"(?:\s(?:(?!href|src|title)[^<>])*)?/?>",
    re.IGNORECASE,
)
"""What only lays a text out; an address in it would be lost with it."""


def looks_same(text: str, other: str) -> bool:
    """Whether one text lost nothing that people read where it became the other: the key is the same, or only tags and
    spaces went.
    """
    return match_key(text) == match_key(other) or _letters(text) == _letters(other)


def _letters(text: str) -> str:
    return match_key(_TAG.sub("", text)).replace(" ", "")
