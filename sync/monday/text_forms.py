"""The forms in which texts are compared: `canonical_text` of values, `match_key` of records, `label_key` of labels.

In indexes, triggers and searches PostgreSQL computes some of them, by the SQL here: change both together.
"""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

# Unicode's Default_Ignorable_Code_Point, control characters, and blanks that are no white space.
_INVISIBLE = (
    r"\u0001-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    r"\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# White space as in Python; the meaning of \s in PostgreSQL depends on the database's locale.
_SPACES = r"\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

_INVISIBLE_LETTER = re.compile(f"[{_INVISIBLE}]")
# Without joiners and variation selectors after an emoji or a letter of no Latin script, whose look they change.
_INVISIBLE_BUT_JOINERS = re.compile(
    rf"(?<![^\u0000-\u024f])[\u200c\u200d\ufe00-\ufe0f]|(?![\u200c\u200d\ufe00-\ufe0f])[{_INVISIBLE}]"
)

_VISIBLE_SQL = f"regexp_replace(__TEXT__, '[{_INVISIBLE}]+', '', 'g')"
# As `plain_letters` of the text that replaces __TEXT__, but with outer spaces, and “。” as it is.
PLAIN_LETTERS_SQL = f"regexp_replace(normalize({_VISIBLE_SQL}, NFKC), '[{_SPACES}]+', ' ', 'g')"

# Signs that keyboards, phones and Word put for one another; a name is the same with each. `plain_letters` makes one of
# these of U+FE58 and others.
_APOSTROPHES = "`\u02b9\u02bb\u02bc\u02bd\u055a\u2018\u2019\u201b\u2032\u2035\ua78c"
_DASHES = (
    "\u058a\u05be\u1400\u1806\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u2e5d"
    "\u301c\u3030\u30a0\U00010ead"
)
_PLAIN_SIGNS = str.maketrans(dict.fromkeys(_APOSTROPHES + "´", "'") | dict.fromkeys(_DASHES, "-"))
# The plain and the curly form of each kind of sign. Word makes “–” of a hyphen between spaces, but of no other one.
_SIGN_FORMS = [
    (re.compile(f"[{_APOSTROPHES}´']"), "'’"),
    (re.compile(f"(?<= )[{_DASHES}-](?= )"), "-–"),
    (re.compile(f"(?<! )[{_DASHES}-]|[{_DASHES}-](?! )"), "-–"),
]
# What `plain_letters` makes of “´”, which people type for an apostrophe.
_ACUTE = " \u0301"


def _with_plain_signs(sql: str) -> str:
    """Return the SQL of a text with plain apostrophes and dashes, unless `is_address`."""
    for signs, plain in ((_APOSTROPHES, "''"), (_DASHES, "-")):
        outside_address = f"[{signs}](?=[^ ]* )|(?<= [^ ]*)[{signs}]|(?<!^.+@.*)[{signs}](?!.*@)"
        sql = f"regexp_replace({sql}, '{outside_address}', '{plain}', 'g')"
    return sql


# As `_fold`, and the full stop of `plain_letters`.
_FOLDED_SQL = f"translate(replace(replace(lower(btrim({PLAIN_LETTERS_SQL})), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.')"
# `match_key` of the text that replaces __TEXT__, but with a domain's own letters, so `key_spellings` has both forms;
# immutable, so that an index can use it.
_FOLDED_ACUTE_SQL = f"replace({_FOLDED_SQL}, '{_ACUTE}', '''')"
MATCH_KEY_SQL = f"normalize({_with_plain_signs(_FOLDED_ACUTE_SQL)}, NFC)"

# Sorts the text that replaces __TEXT__ as people do, without case and marks: Ångström before Zoë, de Vries before Doe.
# Not a collation, because linguistic ones need ICU or the system's locales, which not every server has. For Unicode, ø
# is no o with a mark, so such letters are listed; in both cases, because a database may only know those of ASCII.
_WITHOUT_MARKS_SQL = r"regexp_replace(normalize(__TEXT__, NFKD), '[\u0300-\u036f]+', '', 'g')"
_WITHOUT_LIGATURES_SQL = f"replace(replace(replace({_WITHOUT_MARKS_SQL}, 'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe')"
SORT_KEY_SQL = f"lower(translate({_WITHOUT_LIGATURES_SQL}, 'øØłŁđĐħĦŧŦıÆŒ', 'oollddhhttiao'))"
# By which records are searched: as a key for sorting, with plain apostrophes and dashes.
_SEARCHED_SQL = SORT_KEY_SQL.replace("__TEXT__", f"replace(lower({PLAIN_LETTERS_SQL}), '{_ACUTE}', '''')")
_PLAIN_SIGNS_SQL = "''" * len(_APOSTROPHES) + "-" * len(_DASHES)
SEARCH_KEY_SQL = f"translate({_SEARCHED_SQL}, '{_APOSTROPHES}{_DASHES}', '{_PLAIN_SIGNS_SQL}')"

_UMLAUTS = {"ä": "ae", "ö": "oe", "ü": "ue"}
_UMLAUT_LETTERS = str.maketrans(
    _UMLAUTS | {letter.upper(): pair.capitalize() for letter, pair in _UMLAUTS.items()} | {"ß": "ss", "ẞ": "SS"}
)


def unix_lines(text: str) -> str:
    """Return a text with \\n as its line ends; browsers send \\r\\n."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def canonical_text(text: str | None) -> str | None:
    """Return a text in Unicode NFC with \\n as line ends, without outer whitespace; None for an empty one."""
    return unicodedata.normalize("NFC", unix_lines(text or "")).strip() or None


def visible_name(text: str | None) -> str | None:
    """Return the canonical text; None also for one without a visible character, which names nobody.

    An accent or another mark without its letter (Unicode's categories M) isn't visible.
    """
    characters = drop_invisible(text or "").strip()
    is_visible = any(not unicodedata.category(character).startswith("M") for character in characters)
    return canonical_text(text) if is_visible else None


def fold_whitespace(text: str | None) -> str | None:
    """Return the canonical text with each run of whitespace as one space."""
    return " ".join((canonical_text(text) or "").split()) or None


def match_key(text: str | None) -> str:
    """Return the key by which texts match: without case, width, runs of spaces and invisible characters.

    Apostrophes are one, and dashes are, but not in an email address, whose domain is in its xn-- form.
    """
    if not text:
        return ""
    if text.isascii() and text.isprintable():
        key = " ".join(text.lower().split())
        return key if is_address(key) else key.replace("`", "'")
    plain = plain_letters(text)
    if is_address(plain):
        name, at_sign, domain = plain.rpartition("@")
        return _fold(name + at_sign + ascii_domain(domain.lower()))
    key = _fold(plain).replace(_ACUTE, "'")
    return key if is_address(key) else unicodedata.normalize("NFC", key.translate(_PLAIN_SIGNS))


def is_address(text: str) -> bool:
    return "@" in text[1:] and " " not in text


def sign_spellings(text: str) -> set[str]:
    """Return a text as it is, with plain signs, with those that phones and Word write, and mixed: at most 27."""
    spellings = {text}
    for kind, forms in _SIGN_FORMS if not is_address(text) else ():
        spellings |= {kind.sub(form, spelling) for spelling in spellings for form in forms}
    return spellings


def ascii_spellings(text: str) -> set[str]:
    """Return a text as it is, and as texts of ASCII's letters have it: with a keyboard's signs, without umlauts."""
    plain = text if is_address(text) else text.translate(_PLAIN_SIGNS)
    return {text, plain, plain.replace("'", "`"), without_umlauts(text)}


def key_spellings(keys: Iterable[str]) -> list[str]:
    """Return these match keys, and for each with an xn-- domain also the one that `MATCH_KEY_SQL` makes."""
    spellings = set(keys)
    for key in tuple(spellings):
        name, at_sign, domain = key.rpartition("@")
        if "xn--" in domain:
            spellings.add(_fold(name + at_sign + readable_domain(domain)))
    return sorted(spellings)


def plain_letters(text: str) -> str:
    """Return a text without invisible characters, and with full-width letters as narrow ones."""
    return " ".join(unicodedata.normalize("NFKC", drop_invisible(text)).split()).replace("。", ".")


def ascii_domain(domain: str) -> str:
    """Return the domain as name servers know it: each part with non-ASCII letters as xn-- (RFC 3492)."""
    parts = (part if part.isascii() else "xn--" + part.encode("punycode").decode() for part in domain.split("."))
    return ".".join(parts)


def readable_domain(domain: str) -> str:
    """Return the domain in its own letters; an invalid xn-- part stays."""
    return ".".join(map(_readable_part, domain.split(".")))


def _readable_part(part: str) -> str:
    if not part.startswith("xn--"):
        return part
    try:
        letters = part[4:].encode("ascii").decode("punycode")
    except UnicodeError:
        return part
    is_valid = ascii_domain(letters) == part and plain_letters(letters).lower() == letters
    return letters if is_valid else part


def _fold(text: str) -> str:
    """Fold case: “ß” becomes “ss” as in capitals, “ı” becomes “i”, and “ς” becomes “σ”."""
    lower = text.lower().replace("ß", "ss").replace("i̇", "i")
    # “J̌” is two characters and “ǰ” is one, so what `lower` made of a capital is composed again.
    return unicodedata.normalize("NFC", lower.replace("ς", "σ").replace("ı", "i"))


def has_letters_or_signs(text: str) -> bool:
    return any(map(str.isalpha, text)) or text.translate(_PLAIN_SIGNS) != text or not {"'", "-"}.isdisjoint(text)


def without_umlauts(text: str) -> str:
    """Return a text as keyboards without umlauts write it: “Mueller”."""
    return text.translate(_UMLAUT_LETTERS)


def without_umlauts_sql(sql: str) -> str:
    """Return the SQL of a text as `without_umlauts`, in small letters."""
    sql = f"lower(normalize({sql}, NFC))"
    for letter, pair in _UMLAUTS.items():
        sql = f"replace({sql}, '{letter}', '{pair}')"
    return sql


def label_key(text: str) -> str:
    """Return the key of a column's label: as `match_key`, but “2²” isn't “22”: equal keys mean the same label."""
    return _fold(" ".join(unicodedata.normalize("NFC", drop_invisible(text)).split()))


def drop_invisible(text: str) -> str:
    """Return the text without invisible characters."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE_LETTER.sub("", text)


_MAILTO = re.compile(r"mailto:\s*", re.IGNORECASE)  # RFC 6068


def email_address(text: str) -> str:
    """Return the form in which a typed address is stored: its domain in its own letters, never in the xn-- form.

    Without invisible characters, the scheme and subject of a mailto link, and a domain's last dot. Case stays, except
    in a domain with other letters than ASCII's.
    """
    bare = plain_letters(text)
    while _MAILTO.match(bare):
        bare = unquote(_MAILTO.sub("", bare).partition("?")[0])
    name, at_sign, domain = bare.rpartition("@")
    lower = domain.lower()
    if at_sign and (not domain.isascii() or "xn--" in lower):
        domain = readable_domain(lower)
    return canonical_text(name + at_sign + (domain.rstrip(".") if at_sign else domain)) or ""


def drop_invisible_but_joiners(text: str) -> str:
    """Return the text without invisible characters, except those that change how others look."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE_BUT_JOINERS.sub("", text)


def name_invisible(text: str) -> str:
    """Return the text with the names of invisible characters in brackets, for sentences that people read."""
    return _INVISIBLE_LETTER.sub(
        lambda letter: f"[{unicodedata.name(letter[0], f'U+{ord(letter[0]):04X}').lower()}]", text
    )


# Tags that only lay out a text, without an address that would be lost.
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|br|center|cite|code|dd|del|div|dl|dt|em|font|h[1-6]|hr|i|ins|kbd|li|mark|ol|p|pre|q|s|"
    r"samp|small|span|strike|strong|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)"
    r"(?:\s(?:(?!href|src|title)[^<>])*)?/?>",
    re.IGNORECASE,
)


def looks_same(value: str | tuple[str, ...] | None, other_value: str | tuple[str, ...] | None) -> bool:
    """Return whether two texts, or lists of them, differ only in what nobody reads.

    That is case, tags, spaces, invisible characters, the form of quotes and dashes, width, and ligatures.
    """
    texts = value if isinstance(value, tuple) else (value or "",)
    others = other_value if isinstance(other_value, tuple) else (other_value or "",)
    return set(map(_look, texts)) == set(map(_look, others))


# What programs exchange as people type; they also make one dash of several.
_TYPED_SIGNS = {
    **_PLAIN_SIGNS,
    **dict.fromkeys(map(ord, "‚‹›❛❜"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»❝❞〝〞〟"), '"'),
}

# The kinds of Unicode's decompositions that change the form of a letter, but not what it says, as “²” does.
_SAME_LETTERS = ("<wide>", "<narrow>", "<compat>")


def _look(text: str) -> str:
    # “´” is decomposed into a space and a mark.
    text = "".join(map(_plain_letter, text.replace("´", "'"))).translate(_TYPED_SIGNS)
    return re.sub("-+", "-", _TAG.sub("", label_key(text))).replace(" ", "")


def _plain_letter(letter: str) -> str:
    is_same = unicodedata.decomposition(letter).startswith(_SAME_LETTERS)
    return unicodedata.normalize("NFKC", letter) if is_same else letter


# Longer titles are compared by their beginnings. Decomposed, one sign may be eighteen.
MAX_FOLDED = 200


def fold_title(title: str) -> str:
    """Return a title without case, accents, spaces and signs: “E-Mail” equals “email”."""
    decomposed = unicodedata.normalize("NFKD", title[:MAX_FOLDED].casefold())
    return "".join(filter(str.isalnum, decomposed[: 2 * MAX_FOLDED]))
