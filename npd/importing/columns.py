"""Which column is which field, by its title."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from npd.importing.errors import ImportFileError
from npd.models import Contact, Organization
from sync import registry
from sync.models import SyncedModel

NPD_ID = "id"
MODELS: Mapping[str, type[SyncedModel]] = {"contact": Contact, "organization": Organization}
FIELDS: Mapping[str, tuple[str, ...]] = {
    "contact": ("name", "email", "organization", "role_title", "phone", "notes"),
    "organization": (
        "name",
        "aliases",
        "billing_contact",
        "address_street",
        "address_city",
        "address_state",
        "address_zip",
        "address_country",
        "inventory_url",
        "notes",
    ),
}
_ALSO: Mapping[str, tuple[str, ...]] = {
    NPD_ID: ("NPD ID", "id"),
    "name": ("full name", "contact name", "contact", "organization name", "company name", "account name"),
    "email": ("email address", "mail", "e-mail address", "email 1"),
    "organization": ("organisation", "company", "account", "employer"),
    "role_title": ("job title", "title", "position", "function"),
    "phone": ("phone number", "telephone", "tel", "mobile", "mobile phone", "business phone"),
    "notes": ("note", "comments", "comment", "remarks"),
    "aliases": ("alias", "other names", "also known as"),
    "billing_contact": ("billing", "invoice contact"),
    "address_street": ("street address", "address", "address line 1"),
    "address_city": ("town",),
    "address_state": ("region", "province", "county", "state/region"),
    "address_zip": ("zip", "postal code", "postcode", "zip/postal code"),
    "address_country": ("country/region",),
    "inventory_url": ("inventory url", "url", "website", "web site"),
}
"""Titles that other programs give these fields. A title that two fields of a type could bear stands here once."""


@dataclass(frozen=True)
class Column:
    """One column of a file: where it stands, its title, and the field it is read into; none: it is passed over."""

    position: int
    title: str
    field: str = ""
    label: str = ""


def plain(title: str) -> str:
    """Return a title without what doesn't tell it from another: case, white space, signs."""
    return "".join(c for c in unicodedata.normalize("NFKC", title).casefold() if c.isalnum())


def labels_of(entity_type: str) -> dict[str, str]:
    """Return what people call each field that can be imported."""
    model: Any = MODELS[entity_type]
    labels = {name: str(model._meta.get_field(name).verbose_name) for name in FIELDS[entity_type]}
    return {NPD_ID: "NPD ID"} | {name: text[:1].upper() + text[1:] for name, text in labels.items()}


def titles_of(entity_type: str) -> dict[str, str]:
    """Return the field for each known title, in its plain form: ours, those of the board's columns, and usual ones."""
    found: dict[str, str] = {}
    for field, label in labels_of(entity_type).items():
        for title in (field, label, *_ALSO.get(field, ())):
            found.setdefault(plain(title), field)
    for mapping in registry.entity(entity_type).mappings:
        if len(mapping.fields) == 1:
            found.setdefault(plain(mapping.label), mapping.fields[0])
    return found


def knows(title: str) -> bool:
    """Whether any type has a field of this title."""
    return any(plain(title) in titles_of(entity_type) for entity_type in MODELS)


def recognised(entity_type: str, titles: Sequence[str]) -> list[Column]:
    """Return what each column is; raises ImportFileError where a field comes twice, or none tells who is who."""
    known, labels = titles_of(entity_type), labels_of(entity_type)
    columns = []
    for position, title in enumerate(titles):
        field = known.get(plain(title), "")
        columns.append(Column(position, title, field, labels.get(field, "")))
    listed = ", ".join(labels.values())
    named = [column.field for column in columns if column.field]
    if not named:
        raise ImportFileError(
            f"The first row names no column that is known, so nothing was read. Put titles there: {listed}."
        )
    if twice := next((field for field in named if named.count(field) > 1), ""):
        both = " and ".join(f"“{column.title}”" for column in columns if column.field == twice)
        raise ImportFileError(
            f"Several columns are {labels[twice]}: {both}. Remove one of them, or give it another title, and choose "
            "the file again."
        )
    keys = [NPD_ID, registry.entity(entity_type).match_key, "name"]
    if not set(keys) & set(named):
        wanted = ", ".join(dict.fromkeys(labels[key] for key in keys))
        raise ImportFileError(
            f"No column tells which {entity_type} a row is about. Add one of these: {wanted}."
        )
    return columns
