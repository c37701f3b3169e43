"""Which field each column of a file goes to: suggested by its title, and remembered for the same titles.

A column's place holds a field's name, `id` for the NPD ID, a part of the name, or nothing.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from django.core.cache import cache
from django.db import models
from django.utils.text import capfirst

from sync import registry
from sync.kernel import grouped
from sync.kernel.humanize import quote
from sync.models import SyncedModel
from sync.monday.text_forms import fold_title
from sync.operations.workbooks import MAX_COLUMNS
from sync.words.message import Message

NPD_ID = "NPD ID"
FIRST_NAME = "first_name"
LAST_NAME = "last_name"
NAME_PARTS = {FIRST_NAME: "First name", LAST_NAME: "Last name"}

# Titles of a full name that mean one part of it in a file that has a column for the other part alone.
PLAIN_NAMES = {LAST_NAME: {"name", "nom"}, FIRST_NAME: {"nombre", "nome", "naam"}}

# Titles of a role that mean “Dr.” or “Ms” before the first name.
SALUTATIONS = {"title", "titel", "titre", "titolo", "titulo"}

# Words that say in a title which one of several it is, as `fold_title` makes them, the ones that count first first.
KIND_WORDS = (
    "mobile mobil cell movil no nr",
    "work business office company main direct arbeit geschaftlich dienstlich firma buro bureau trabajo lavoro zakelijk",
    "home private personal privat domicile personnel casa thuis",
    "other secondary alternative billing mailing invoice rechnung weiteres weitere sonstige sekundare autre otro",
)
KINDS = {word: order for order, words in enumerate(KIND_WORDS) for word in words.split()}
# Words that say nothing about a column's field.
IDLE_WORDS = {
    "primary", "preferred", "default", "required", "optional", "mandatory", "pflichtfeld", "value", "wert", "valeur",
    "valor", "valore",
}  # fmt: skip

_PARAMETERS = re.compile(r";\w+=.*")  # of a vCard's line
_WORD = re.compile(r"\d+|[A-Z]*[^\W\d_A-Z]+|[A-Z]+")  # also of “PhoneWork”

MAX_TITLE = 100  # longer texts are no titles

REMEMBERED_SECONDS = 365 * 86_400


def field_label(model: type[models.Model], name: str) -> str:
    return str(capfirst(str(model._meta.get_field(name).verbose_name)))  # type: ignore[union-attr]


def field_choices(model: type[SyncedModel], labels: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what a column may go to, with the `labels` of the fields."""
    parts = NAME_PARTS.items() if has_name_parts(model) else ()
    return [("", "Don't import"), *parts, *labels]


def has_name_parts(model: type[SyncedModel]) -> bool:
    """Whether records are people: their name isn't what they are matched by."""
    return registry.name_field(model) not in ("", None, registry.match_field(model))


def suggest_columns(model: type[SyncedModel], titles: Sequence[str]) -> list[str]:
    """Return each column's field, as it was chosen for these titles before, else as its title says."""
    remembered: list[str] | None = cache.get(_memory_key(model, titles))
    return KnownTitles(model).columns(titles) if remembered is None else remembered


def key_names(model: type[SyncedModel]) -> list[str]:
    """Return the fields that identify a record in a file without NPD IDs: its match key, then its name."""
    names = (registry.match_field(model), registry.name_field(model))
    return list(dict.fromkeys(name for name in names if name))


def identifies_records(model: type[SyncedModel], columns: Sequence[str]) -> bool:
    """Whether one of the columns tells which record a row is about."""
    return not {"id", *key_names(model), *NAME_PARTS}.isdisjoint(columns)


def missing_key_note(model: type[SyncedModel], columns: Sequence[str]) -> list[str]:
    """Return what follows if no column has the match key; nothing if one has it, or the NPD ID."""
    labels = [field_label(model, name) for name in key_names(model)]
    if not identifies_records(model, columns):
        record = str(model._meta.verbose_name)
        return [Message("no_column_tells_record", fields=", ".join(labels), record=record)]
    key = registry.match_field(model)
    if not key or key in columns or "id" in columns:
        return []
    return [Message("matched_by_name_alone", field=labels[0], records=str(model._meta.verbose_name_plural))]


def remember_columns(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> None:
    cache.set(_memory_key(model, titles), list(columns), REMEMBERED_SECONDS)


def _memory_key(model: type[SyncedModel], titles: Sequence[str]) -> str:
    digest = sha256("\0".join(titles).encode()).hexdigest()
    return f"import-columns-{model.entity_type()}-{digest}"


def places_of_fields(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of each field, the one that counts first first: mobile, then business, then home phone."""
    known_titles = KnownTitles(model)
    places: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        if name:
            places.setdefault(name, []).append(place)

    def order(place: int) -> tuple[bool, Any, int]:
        # A title that isn't the field's own comes last.
        name, rank = known_titles.rank(titles[place]) or ("", ())
        return (name != columns[place], rank, place)

    for field_places in places.values():
        field_places.sort(key=order)
    return places


def order_notes(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return, for each field with several columns, which of them counts first."""
    notes = []
    for name, places in places_of_fields(model, titles, columns).items():
        if len(places) > 1 and name not in NAME_PARTS and name != "id":
            ordered = ", then ".join(quote(titles[place]) for place in places)
            notes.append(f"{field_label(model, name)}: in each row the first filled one counts: {ordered}.")
    return notes


class KnownTitles:
    """The titles by which a model's fields are recognized, and the parts of a person's name."""

    def __init__(self, model: type[SyncedModel]) -> None:
        spec = registry.entity(model.entity_type())
        # The fields of which people have several columns: in each row the first filled one counts.
        kinds = ("phone", "email", "relation")
        self._several = {mapping.fields[0] for mapping in spec.mappings if mapping.converter in kinds}
        # And those of which one counts: a row's street and city shouldn't be of two addresses.
        addresses = {name for mapping in spec.mappings if mapping.converter == "address" for name in mapping.fields}
        self._of_kinds = self._several | addresses
        self._keys = {"id", spec.match_key, spec.name_field, *NAME_PARTS}
        type_names = "|".join(map(re.escape, [spec.entity_type, *spec.titles.get(spec.entity_type, ())]))
        self._prefix = re.compile(rf"\s*(?:{type_names})[\s_.:–-]+", re.IGNORECASE)
        self._ranks: dict[str, tuple[str, int]] = {}
        titles = {name: map(fold_title, (name, *spec.titles.get(name, ()))) for name in NAME_PARTS}
        for name, field_titles in ((titles if has_name_parts(model) else {}) | titles_of(spec)).items():
            for rank, title in enumerate(field_titles):
                self._ranks.setdefault(title, (name, rank))

    def columns(self, titles: Sequence[str]) -> list[str]:
        """Return the field of each title."""
        columns = [""] * len(titles)
        ranks = {place: rank for place, title in enumerate(titles) if (rank := self.rank(title))}
        for place in [place for place in ranks if fold_title(titles[place]) in SALUTATIONS]:
            if ranks.get(place + 1, [""])[0] == FIRST_NAME:
                del ranks[place]
        for name, places in grouped(ranks, lambda place: ranks[place][0]).items():
            # Of other fields only the best column is taken: “Title” may be “Dr.” beside “Job title”.
            best = min(places, key=lambda place: ranks[place][1])
            for place in places if name in self._several else [best]:
                columns[place] = name
        parts = NAME_PARTS.keys() & columns
        for part, plain in PLAIN_NAMES.items():
            places = [place for place, title in enumerate(titles) if fold_title(title) in plain]
            if places and parts == NAME_PARTS.keys() - {part}:
                columns[places[0]] = part
        return columns

    def count(self, titles: Sequence[str]) -> int:
        """Return how many of these titles are known; 0 if none of them tells which record a row is about."""
        columns = self.columns(titles[:MAX_COLUMNS])
        return 0 if self._keys.isdisjoint(columns) else len(columns) - columns.count("")

    def rank(self, title: str) -> Any:
        """Return the field of a title, and how well it fits, the best the least; None for an unknown title."""
        if not title or len(title) > MAX_TITLE:
            return None
        return self._rank(title) or self._rank(self._prefix.sub("", title, count=1))

    def _rank(self, title: str) -> Any:
        """As `rank`; programs add numbers and kinds: “E-mail 2 Address”, “PhoneWork”, “Email (home)”, “TEL;type=X”."""
        if known := self._ranks.get(fold_title(title)):
            return known[0], (0, known[1], 0)
        words = [fold_title(word) for word in _WORD.findall(_PARAMETERS.sub("", title))]
        words = [word for word in words if word not in IDLE_WORDS]
        if known := self._ranks.get("".join(words)):
            return known[0], (1, known[1], 0)
        numbers = [int(word) for word in words if word.isdecimal()]
        kinds = [KINDS[word] for word in words if word in KINDS]
        plain = "".join(word for word in words if not (word.isdecimal() or word in KINDS))
        name, rank = self._ranks.get(plain, ("", 0))
        if not name or (kinds and name not in self._of_kinds):
            return None
        return name, (1 + max(kinds, default=-1), rank, sum(numbers))


def titles_of(spec: registry.EntitySpec) -> dict[str, list[str]]:
    """Return the known titles of each field as `fold_title` makes them, the best ones first."""
    entity_type = spec.entity_type
    other_types = [fold_title(other.entity_type) for other in registry.entities() if other.entity_type != entity_type]
    titles: dict[str, list[str]] = {"id": [fold_title(NPD_ID)]}
    relations = [field.name for field in registry.own_relations(spec.model)]
    own = [field.name for field in registry.own_fields(spec.model)]
    # Relations first, because “company name” in a file of people is their organization.
    for name in [*relations, *(name for name in own if name not in relations)]:
        names = [name, field_label(spec.model, name), *spec.titles.get(name, ())]
        names += [mapping.label for mapping in spec.mappings if mapping.fields == (name,)]
        if name in relations:
            names += [f"{title} name" for title in names]
        folded = list(map(fold_title, names))
        if name == spec.name_field:
            # The title of a related record in other files, such as “Firma”, is its name in a file of such records.
            type_titles = [entity_type, *spec.titles.get(entity_type, ())]
            folded[2:2] = map(fold_title, [*type_titles, *(f"{title} name" for title in type_titles)])
            # “Contact name” in a file of organizations isn't theirs.
            folded = [title for title in folded if not title.startswith(tuple(other_types))]
        titles[name] = list(dict.fromkeys(folded))
    return titles
