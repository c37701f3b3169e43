"""Who is meant, and by which texts this person is found where no id names them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import islice
from json import dumps
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

import phonenumbers
from django.contrib.auth import get_user_model
from django.db.models import Q
from pghistory.core import event_models

from npd.models import Contact, Organization
from sync.models import Intent, SyncMetadata, Tombstone, UnmatchedItem
from sync.reconcile.lookups import canonical_value, phone_region

MIN_HINT = 4
"""Letters or digits in a row of which few texts have the same."""

MIN_DIGITS = 7
"""A shorter number is no phone number that belongs to one person only."""

MAX_NOTES = 200
"""Longer notes are not searched for elsewhere; the rows that belong to the person are found without."""

MAX_TEXTS = {"notes": 10}
OTHER_TEXTS = 20
"""Texts of one kind, the newest, that are searched for: every version that notes ever had would make a pattern that
takes hours, or more memory than there is.
"""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z")
_SPACES = r"(?:\s|\+|%20|&nbsp;|\\[nrt])+"
# In JSON a line break is written “\n”, in an address “%0A”: their last letter stands before the word.
_ESCAPED = r"(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})"
_BEFORE_WORD = {
    kind: rf"(?:(?<!{letter})|{_ESCAPED})"
    for kind, letter in {"name": r"\w", "email": r"[\w.+-]", "notes": r"\w"}.items()
}
_AFTER_WORD = {"name": r"(?!\w)", "email": r"(?!\.?[\w-])", "notes": r"(?!\w)"}
_AROUND = {kind: (before, _AFTER_WORD[kind]) for kind, before in _BEFORE_WORD.items()}
_BETWEEN_DIGITS = r"[^0-9A-Za-z\"\\]{0,3}"


@dataclass(frozen=True)
class Identifier:
    """A text by which somebody is found: `kind` is a field of the contact."""

    kind: str
    text: str

    @property
    def pattern(self) -> str:
        """A regular expression for PostgreSQL and Python, in all forms in which the text may be stored."""
        before, after = ("(?<![0-9])", "(?![0-9])") if self.kind == "phone" else _AROUND[self.kind]
        return f"{before}{self.part}{after}"

    @cached_property
    def part(self) -> str:
        """As `pattern`, but within a longer word, too."""
        if self.kind == "phone":
            return _phone_pattern(self.text)
        if self.kind == "notes":  # long, and neither typed anew by somebody nor part of an address
            forms = dict.fromkeys(_pattern_of(form) for form in (self.text, dumps(self.text)[1:-1]))
        else:
            forms = dict.fromkeys(_pattern_of(form) for text in self.literals for form in _written_forms(text))
        return f"(?:{'|'.join(forms)})"

    @cached_property
    def hint(self) -> str:
        """A quick regular expression that any form of the text matches, once in small letters; empty where none does.

        Letters and digits of ASCII are written the same in every form, and so are spaces between them, or as _SPACES
        says: the longest row of such words is in each.
        """
        if self.kind == "phone":
            return _BETWEEN_DIGITS.join(_digits_of(self.text)[0])
        text = unicodedata.normalize("NFC", self.text)
        # What stands before an address's “@” is rarer than what follows.
        for one in (text.partition("@")[0], text) if self.kind == "email" else (text,):
            longest = max(re.findall(r"[0-9A-Za-z]+(?: +[0-9A-Za-z]+)*", one), key=len, default="").lower()
            if len(longest) >= MIN_HINT:
                return _SPACES.join(longest.split())
        return ""

    @property
    def literals(self) -> tuple[str, ...]:
        """The text itself; letters outside ASCII in each case, which not every database folds."""
        composed = [unicodedata.normalize(form, self.text) for form in ("NFC", "NFD")]
        return tuple(dict.fromkeys(one for text in composed for one in (text, text.lower(), text.upper())))


def _written_forms(text: str) -> Iterator[str]:
    """As text, in JSON, in HTML and in an address."""
    yield from (text, dumps(text)[1:-1], dumps(text, ensure_ascii=False)[1:-1], escape(text), quote(text))
    yield quote_plus(text)


def _pattern_of(text: str) -> str:
    return re.sub(r"(?:\\?[ \t\n+]|%20)+", lambda _: _SPACES, re.escape(text))


def _phone_pattern(text: str) -> str:
    national, code = _digits_of(text)
    prefix = f"(?:(?:\\+|00)?{code}{_BETWEEN_DIGITS})?" if code else ""
    return f"{prefix}(?:\\(?0\\)?{_BETWEEN_DIGITS})?{_BETWEEN_DIGITS.join(national)}"


def _digits_of(text: str) -> tuple[str, str]:
    """The national number and the calling code; of what can't be read all its digits."""
    with suppress(phonenumbers.NumberParseException):
        number = phonenumbers.parse(str(canonical_value("contact", "phone", text)), phone_region())
        return str(number.national_number), str(number.country_code)
    return re.sub(r"\D", "", text), ""


@dataclass(frozen=True)
class Person:
    """One person: a contact, one that was deleted, or with an email address alone nobody that NPD has a record of.

    `item_ids` are the items on Monday that are theirs. `identifiers` are searched for everywhere; those that are
    `shared` with another record or with an account are not, as they would take others' data with them.
    """

    key: UUID | None
    name: str
    identifiers: tuple[Identifier, ...]
    shared: tuple[Identifier, ...] = ()
    item_ids: tuple[str, ...] = ()
    is_recorded: bool = True

    @property
    def keys(self) -> list[UUID]:
        """The id, for look-ups; none where there is no record and never was."""
        return [self.key] if self.key else []

    @property
    def handle(self) -> str:
        return str(self.key or self.name)

    @property
    def emails(self) -> list[str]:
        """The addresses, for telling two of one name apart."""
        return [one.text for one in (*self.identifiers, *self.shared) if one.kind == "email"]

    @cached_property
    def pattern(self) -> str:
        """Finds every identifier; empty where there is none."""
        return "|".join(one.pattern for one in self.identifiers)

    @cached_property
    def hint(self) -> str:
        """Matches whatever holds one of the identifiers that have a hint, in small letters; empty where none has."""
        return "|".join(dict.fromkeys(one.hint for one in self.identifiers if one.hint))

    @cached_property
    def part_without_hint(self) -> str:
        """Finds the other identifiers, within a longer word, too."""
        return "|".join(one.part for one in self.identifiers if not one.hint)

    @cached_property
    def conditions(self) -> list[str]:
        """What a text has to match: first without looking around a word, which takes PostgreSQL many times as long."""
        return ["|".join(one.part for one in self.identifiers), self.pattern]


def find_persons(text: str) -> list[Person]:
    """Return who has this id, email address or name, or had it; deleted contacts too. By name only where it is whole.

    An email address that no contact has or had is a person without a record.
    """
    text = text.strip()
    with suppress(ValueError):
        return [person for person in [person_of(UUID(text))] if person]
    if not text:
        return []
    field = "email" if _EMAIL.match(text) else "name"
    keys = {row["pk"]: None for row in Contact.objects.filter(**{f"{field}__iexact": text}).values("pk")}
    stones = Tombstone.objects.filter(entity_type=Contact.entity_type(), **{f"data__{field}__iexact": text})
    keys |= dict.fromkeys(stones.values_list("entity_id", flat=True))
    keys |= dict.fromkeys(_events().filter(**{f"{field}__iexact": text}).values_list("pgh_obj_id", flat=True))
    found = [person for key in keys if (person := person_of(key))]
    if not found and field == "email":
        return [_with_items([], text, [Identifier("email", text)], is_recorded=False)]
    return found


def person_of(key: UUID) -> Person | None:
    """Return the contact with this id as a person, also one that was deleted; None where there never was one."""
    values: list[Any] = [*Contact.objects.filter(pk=key).values()]
    is_recorded = bool(values)
    values += Tombstone.objects.filter(entity_type=Contact.entity_type(), entity_id=key).values_list("data", flat=True)
    values += _events().filter(pgh_obj_id=key).order_by("-pgh_id").values("name", "email", "phone", "notes")
    if not values:
        return None
    states = [one for row in _rows_about(key) for one in _fields_in(row)]
    found = [*(pair for row in values for pair in row.items()), *states]
    of_kind: dict[str, dict[Identifier, None]] = {}
    for one in filter(None, (_identifier(kind, text) for kind, text in found)):
        of_kind.setdefault(one.kind, {})[one] = None
    identifiers = [one for kind, texts in of_kind.items() for one in islice(texts, MAX_TEXTS.get(kind, OTHER_TEXTS))]
    return _with_items([key], str(values[0].get("name") or key), identifiers, is_recorded=is_recorded)


def _events() -> Any:
    model: Any = event_models(tracks_model=Contact)[0]
    return model._default_manager


def _rows_about(key: UUID) -> Iterator[Any]:
    """What Monday said of them too: values that NPD never took over are theirs as well."""
    yield from SyncMetadata.objects.of(Contact.entity_type(), [key]).values_list("base", flat=True)
    yield from Intent.objects.filter(entity_id=key).values_list("values", flat=True)


def _fields_in(value: Any, kind: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a JSON value, each with the last field's name above it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            # To which cell a value belongs is nothing of the person's.
            if name in ("item", "column", "version"):
                continue
            yield from _fields_in(inner, name if name in ("name", "email", "phone", "notes") else kind)
    elif isinstance(value, list):
        for inner in value:
            yield from _fields_in(inner, kind)
    elif isinstance(value, str) and kind:
        yield kind, value


def _identifier(kind: str, text: Any) -> Identifier | None:
    """A text that names this person alone, as far as a text can: a single word of a name doesn't."""
    text = text.strip() if isinstance(text, str) else ""
    if kind == "email" and _EMAIL.match(text):
        return Identifier(kind, text)
    if kind == "name" and len(text.split()) > 1:
        return Identifier(kind, text)
    if kind == "phone" and text[:1] not in "{[" and len(_digits_of(text)[0]) >= MIN_DIGITS:
        return Identifier(kind, text)
    if kind == "notes" and len(text.split()) > 2 and len(text) <= MAX_NOTES:
        return Identifier(kind, text)
    return None


def _with_items(keys: list[UUID], name: str, found: Iterable[Identifier], *, is_recorded: bool) -> Person:
    all_found = list(found)
    shared = tuple(one for one in all_found if _is_shared(one, keys))
    identifiers = tuple(one for one in all_found if one not in shared)
    items: set[str | None] = set()
    if keys:
        kind = Contact.entity_type()
        items |= set(Contact.objects.filter(pk__in=keys).values_list("monday_id", flat=True))
        items |= set(SyncMetadata.objects.of(kind, keys).values_list("remote_id", flat=True))
        items |= set(Tombstone.objects.filter(entity_type=kind, entity_id__in=keys).values_list("monday_id", flat=True))
        items |= set(Intent.objects.filter(entity_id__in=keys).values_list("item_id", flat=True))
    for one in identifiers:
        if one.kind == "email":
            unmatched = UnmatchedItem.objects.filter(entity_type=Contact.entity_type())
            items |= set(unmatched.filter(values__email__iexact=one.text).values_list("item_id", flat=True))
    # Whoever had it once: an item that another record has now is that record's.
    items -= set(Contact.objects.exclude(pk__in=keys).filter(monday_id__in=items).values_list("monday_id", flat=True))
    return Person(
        keys[0] if keys else None, name, identifiers, shared, tuple(sorted(one for one in items if one)), is_recorded
    )


def _is_shared(one: Identifier, keys: list[UUID]) -> bool:
    """Whether another record or an account is known by it, too."""
    others = Contact.objects.exclude(pk__in=keys)
    if one.kind == "phone":
        return others.filter(phone__iregex=one.pattern).exists()
    if one.kind == "notes":
        return others.filter(notes__iexact=one.text).exists()
    if one.kind == "email":
        is_account = _accounts().filter(Q(email__iexact=one.text) | Q(username__iexact=one.text)).exists()
        return is_account or others.filter(email__iexact=one.text).exists()
    # A part of another's name is theirs, too: “Maria Schmidt” in “Anna Maria Schmidt” and in “Maria Schmidt Ltd”.
    models: list[Any] = [Organization._default_manager, others]
    # The hint first, which is quick.
    if any(named.filter(name__iregex=one.hint).filter(name__iregex=one.pattern).exists() for named in models):
        return True
    wanted = re.compile(one.pattern, re.IGNORECASE)
    return any(wanted.search(f"{first} {last}") for first, last in _accounts().values_list("first_name", "last_name"))


def _accounts() -> Any:
    return get_user_model()._default_manager
