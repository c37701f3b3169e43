"""What a file's titles and cells mean: a column's field, a row's record, and the record that a cell names."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower

from npd.imports.files import ImportFileError
from npd.imports.files.reader import plain_title
from npd.models import Contact, Organization
from sync import registry
from sync.kernel.action_errors import ActionError
from sync.models import SyncedModel
from sync.reconcile.field_values import canonical_expression, canonical_value, related_reference

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

_TITLE_ALIASES: Mapping[str, tuple[str, ...]] = {
    NPD_ID: ("NPD ID", "id"),
    "name": ("full name", "contact name", "contact", "organization name", "company name", "account name"),
    "email": ("email address", "mail", "email 1"),
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
"""Titles that other programs give these fields; one that could mean two fields of a type is listed once."""


@dataclass(frozen=True)
class FileColumn:
    """One column of a file: its position, title, and the field it is read into; without one it is ignored."""

    position: int
    title: str
    field: str = ""
    label: str = ""


def labels_of(entity_type: str) -> dict[str, str]:
    """Return the label of each field that can be imported."""
    model: Any = MODELS[entity_type]
    labels = {name: str(model._meta.get_field(name).verbose_name) for name in FIELDS[entity_type]}
    return {NPD_ID: "NPD ID"} | {name: text[:1].upper() + text[1:] for name, text in labels.items()}


def titles_of(entity_type: str) -> dict[str, str]:
    """Return the field for each known title, in plain form: ours, the board's columns', usual ones."""
    found: dict[str, str] = {}
    for field, label in labels_of(entity_type).items():
        for title in (field, label, *_TITLE_ALIASES.get(field, ())):
            found.setdefault(plain_title(title), field)
    for mapping in registry.entity(entity_type).mappings:
        if len(mapping.fields) == 1:
            found.setdefault(plain_title(mapping.label), mapping.fields[0])
    return found


def known_titles() -> set[str]:
    """Return the titles that any type has a field for, in their plain form."""
    return {title for entity_type in MODELS for title in titles_of(entity_type)}


def recognize_columns(entity_type: str, titles: Sequence[str], hidden: Collection[str] = ()) -> list[FileColumn]:
    """Return each column's field; raises ImportFileError for a field twice, or none that identifies.

    Columns of `hidden` fields are ignored: by trying names a person would learn of records that they may not see.
    """
    field_by_title, labels = titles_of(entity_type), labels_of(entity_type)
    columns = []
    for position, title in enumerate(titles):
        field = field_by_title.get(plain_title(title), "")
        field = "" if field in hidden else field
        columns.append(FileColumn(position, title, field, labels.get(field, "")))
    listed = ", ".join(labels.values())
    fields = [column.field for column in columns if column.field]
    if not fields:
        raise ImportFileError("no_known_column", titles=listed)
    if repeated := next((field for field in fields if fields.count(field) > 1), ""):
        both = ", ".join(f"“{column.title}”" for column in columns if column.field == repeated)
        raise ImportFileError("column_twice", field=labels[repeated], titles=both)
    keys = [NPD_ID, registry.entity(entity_type).match_key, "name"]
    if not set(keys) & set(fields):
        wanted = ", ".join(dict.fromkeys(labels[key] for key in keys))
        raise ImportFileError("no_key_column", type=str(MODELS[entity_type]._meta.verbose_name), titles=wanted)
    return columns


# Which record a row is about, or a cell names: by the sync's own match rule.


def records_of(entity_type: str) -> QuerySet[Any]:
    """Return the records with what their relations point at."""
    model: Any = MODELS[entity_type]
    relations = [name for name in FIELDS[entity_type] if model._meta.get_field(name).is_relation]
    records: QuerySet[Any] = model._default_manager.select_related(*relations).order_by("pk")
    return records


def records_by_id(entity_type: str, ids: Iterable[UUID]) -> dict[UUID, SyncedModel]:
    """Return the records with these ids."""
    return {record.pk: record for record in records_of(entity_type).filter(pk__in=list(ids))}


class RecordMatcher:
    """The records whose field has one of these texts, in canonical form and regardless of case."""

    def __init__(self, entity_type: str, field: str, texts: Iterable[str]) -> None:
        self.entity_type, self.field = entity_type, field
        self._exact: dict[str, list[SyncedModel]] = {}
        self._loose: dict[str, list[SyncedModel]] = {}
        keys = sorted({key for text in texts if (key := str(canonical_value(entity_type, field, text)))})
        records = records_of(entity_type).annotate(match_key=Lower(canonical_expression(field)))
        if not keys:
            return
        # Lowered by the database, whose rules of case depend on its locale; and as a list that it can hash.
        wanted = RawSQL("SELECT lower(wanted) FROM unnest(%s::text[]) AS wanted", [keys])
        for record in records.filter(match_key__in=wanted):
            key = str(canonical_value(entity_type, field, getattr(record, field)))
            self._exact.setdefault(key, []).append(record)
            self._loose.setdefault(key.lower(), []).append(record)

    def key(self, text: str) -> str:
        """Return the text in canonical form."""
        return str(canonical_value(self.entity_type, self.field, text))

    def exact_matches(self, text: str) -> list[SyncedModel]:
        """Return the records with just this text."""
        return self._exact.get(self.key(text), [])

    def near_matches(self, text: str) -> list[SyncedModel]:
        """Return those whose text differs in capital letters at most."""
        return self._loose.get(self.key(text).lower(), [])


# Cells that name another record: an organization by its name, a contact by its email or name.


MAX_NAME_CHARACTERS = 255
"""Characters of an organization's name."""


AMBIGUOUS = "ambiguous"
"""The code of an ActionError: more than one record has this name."""


class ReferenceResolver:
    """The records that the cells of relations name; where asked for, missing organizations get an id."""

    def __init__(self, entity_type: str, rows: Iterable[Mapping[str, str]], *, create_missing: bool) -> None:
        model: Any = MODELS[entity_type]
        self.targets = {
            name: field.related_model.entity_type()
            for name in FIELDS[entity_type]
            if (field := model._meta.get_field(name)).is_relation
        }
        self.create_missing = create_missing
        self.to_create: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._matchers: dict[tuple[str, str], RecordMatcher] = {}
        texts = list(rows)
        for name, target in self.targets.items():
            names = {row[name] for row in texts if row.get(name)}
            self._matchers[target, "name"] = RecordMatcher(target, "name", names)
            if target == "contact":
                self._matchers[target, "email"] = RecordMatcher(
                    target, "email", {text for text in names if "@" in text}
                )

    def reference(self, field: str, text: str) -> dict[str, Any]:
        """Return the record that a cell names, as raw values name it; raises ActionError for none, or several."""
        target = self.targets[field]
        matcher = self._matchers[target, "email" if target == "contact" and "@" in text else "name"]
        found = matcher.exact_matches(text) or matcher.near_matches(text)
        if len(found) == 1:
            return related_reference(found[0]) or {}
        if found:
            message = f"{len(found)} {target}s are called “{text}”."
            raise ActionError(f"{message} Give them names of their own in NPD, or empty this cell.", code=AMBIGUOUS)
        if target == "organization" and self.create_missing:
            if len(text) > MAX_NAME_CHARACTERS:
                raise ActionError(
                    f"The name has {len(text)} characters; at most {MAX_NAME_CHARACTERS} fit. Shorten it."
                )
            # The id that the new organization will have, the same for every row that names it.
            key = matcher.key(text).lower()
            if key not in self._ids:
                self._ids[key] = str(uuid.uuid4())
                self.to_create[self._ids[key]] = text
            return {"id": self._ids[key], "item": None, "name": text}
        hint = " choose to make organizations that are not there," if target == "organization" else ""
        raise ActionError(f"There is no {target} “{text}”. Add it to NPD first,{hint} or empty this cell.")
