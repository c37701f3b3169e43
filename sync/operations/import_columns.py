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
from sync.models import SyncedModel
from sync.monday.text_forms import fold_title

NPD_ID = "NPD ID"
FIRST_NAME = "first_name"
LAST_NAME = "last_name"
NAME_PARTS = {FIRST_NAME: "First name", LAST_NAME: "Last name"}

FIRST_NAMES = {"firstname", "givenname", "forename", "vorname", "prenom", "first"}
LAST_NAMES = {"lastname", "surname", "familyname", "nachname", "familienname", "nomdefamille", "last"}
# Titles of a full name; if the file has a first name, too, they are titles of the family name.
PLAIN_NAMES = {"name", "nom"}

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
    if remembered is not None:
        return remembered
    columns = list(map(_name_part, titles)) if has_name_parts(model) else [""] * len(titles)
    if FIRST_NAME in columns and LAST_NAME not in columns:
        plain = next((place for place, title in enumerate(titles) if fold_title(title) in PLAIN_NAMES), None)
        if plain is not None:
            columns[plain] = LAST_NAME
    ranks = _ranks(model.entity_type())
    ranked = {place: rank for place, title in enumerate(titles) if not columns[place] and (rank := _rank(ranks, title))}
    for name, places in grouped(ranked, lambda place: ranked[place][0]).items():
        # Of other fields only the best column is taken: “Title” may be “Dr.” beside “Job title”.
        best = min(places, key=lambda place: ranked[place][1])
        for place in places if name in _fields_of_several_columns(model) else [best]:
            columns[place] = name
    return columns


def has_key(model: type[SyncedModel], titles: Sequence[str]) -> bool:
    """Whether a column with one of these titles tells which record a row is about."""
    keys = {"id", registry.match_field(model), registry.name_field(model), *NAME_PARTS}
    return not keys.isdisjoint(suggest_columns(model, titles))


def _name_part(title: str) -> str:
    folded = fold_title(title)
    return FIRST_NAME if folded in FIRST_NAMES else LAST_NAME if folded in LAST_NAMES else ""


def missing_key_note(model: type[SyncedModel], columns: Sequence[str]) -> list[str]:
    """Return what follows if no column identifies the records; nothing if one does."""
    key = registry.match_field(model)
    if not key or key in columns or "id" in columns or not has_name_parts(model):
        return []
    plural = model._meta.verbose_name_plural
    what_follows = f"rows are matched by their name alone, so {plural} of one name can't be told apart."
    return [f"No column goes to {field_label(model, key)}: {what_follows}"]


def remember_columns(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> None:
    cache.set(_memory_key(model, titles), list(columns), REMEMBERED_SECONDS)


def _memory_key(model: type[SyncedModel], titles: Sequence[str]) -> str:
    digest = sha256("\0".join(titles).encode()).hexdigest()
    return f"import-columns-{model.entity_type()}-{digest}"


def places_of_fields(model: type[SyncedModel], titles: Sequence[str], columns: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of each field, the one that counts first first: mobile, then business, then home phone."""
    ranks = _ranks(model.entity_type())
    places: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        if name:
            places.setdefault(name, []).append(place)

    def order(place: int) -> tuple[bool, Any, int]:
        # A title that isn't the field's own comes last.
        name, rank = _rank(ranks, titles[place]) or ("", ())
        return (name != columns[place], rank, place)

    for field_places in places.values():
        field_places.sort(key=order)
    return places


def _rank(ranks: dict[str, tuple[str, int]], title: str) -> Any:
    """Return the field of a title, and how well it fits; None for an unknown title.

    Address books number their columns: “E-mail 2 Address”, “Phone 1 - Value”.
    """
    folded = fold_title(title)
    if folded in ranks:
        name, rank = ranks[folded]
        return name, (rank, 0)
    number = re.search(r"\d+", folded)
    plain = re.sub(r"\d+", "", folded).removesuffix("value")
    if number and plain in ranks:
        name, rank = ranks[plain]
        return name, (rank, int(number[0]))
    return None


def _ranks(entity_type: str) -> dict[str, tuple[str, int]]:
    ranks: dict[str, tuple[str, int]] = {}
    for name, titles in titles_of(entity_type).items():
        for rank, title in enumerate(titles):
            ranks.setdefault(title, (name, rank))
    return ranks


def _fields_of_several_columns(model: type[SyncedModel]) -> set[str]:
    mappings = registry.entity(model.entity_type()).mappings
    return {mapping.fields[0] for mapping in mappings if mapping.converter in ("phone", "email")}


def titles_of(entity_type: str) -> dict[str, list[str]]:
    """Return the known titles of each field as `fold_title` makes them, the best ones first."""
    spec = registry.entity(entity_type)
    other_types = [fold_title(other.entity_type) for other in registry.entities() if other.entity_type != entity_type]
    titles: dict[str, list[str]] = {"id": [fold_title(NPD_ID)]}
    relations = [field.name for field in registry.own_relations(spec.model)]
    own = [field.name for field in registry.own_fields(spec.model)]
    # Relations first, because “company name” in a file of people is their organization.
    for name in [*relations, *(name for name in own if name not in relations)]:
        names = [name, field_label(spec.model, name), *spec.titles.get(name, ())]
        names += [mapping.label for mapping in spec.mappings if mapping.fields == (name,)]
        names += spec.file_titles.get(name, ())
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
