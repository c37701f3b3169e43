"""Which record a row of a file is about, and which one a cell names: by the sync's own match rule, in few queries."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from import_export.instance_loaders import BaseInstanceLoader
from import_export.widgets import ForeignKeyWidget

from sync import registry
from sync.models import SyncedModel
from sync.reconcile.lookups import canonical_expression, canonical_value

NPD_ID = "id"
NUMBER = "row number"
"""The column of the row's number; no field can be called so."""

AMBIGUOUS, REPEATED = "ambiguous", "repeated"
"""Codes of faults: more than one record is meant, or may be; the file has the record more than once."""

NAMED_ROWS = 5
"""Rows that are named beside one which is about the same record."""

MAX_NAME_CHARACTERS = 255
"""Characters of an organization's name."""

Texts = Mapping[str, str]
"""The cells of a row that are read, by field."""


def records_of(entity_type: str) -> QuerySet[Any]:
    """Return the records with what their relations point at."""
    model: Any = registry.entity(entity_type).model
    relations = [field.name for field in registry.own_relations(model)]
    records: QuerySet[Any] = model._default_manager.select_related(*relations).order_by("pk")
    return records


class RecordMatcher:
    """The records whose field has one of these texts, in canonical form and regardless of case."""

    def __init__(
        self, entity_type: str, field: str, texts: Iterable[str], records: QuerySet[Any] | None = None
    ) -> None:
        self.entity_type, self.field = entity_type, field
        self._exact: dict[str, list[SyncedModel]] = {}
        self._loose: dict[str, list[SyncedModel]] = {}
        keys = sorted({key for text in texts if (key := self.key(text))})
        if not keys:
            return
        found = (records_of(entity_type) if records is None else records).annotate(
            match_key=Lower(canonical_expression(field))
        )
        # Lowered by the database, whose rules of case depend on its locale; and as a list that it can hash.
        wanted = RawSQL("SELECT lower(wanted) FROM unnest(%s::text[]) AS wanted", [keys])
        for record in found.filter(match_key__in=wanted):
            key = self.key(getattr(record, field))
            self._exact.setdefault(key, []).append(record)
            self._loose.setdefault(key.lower(), []).append(record)

    def key(self, text: str) -> str:
        """Return the text in canonical form."""
        return str(canonical_value(self.entity_type, self.field, text))

    def best_matches(self, text: str) -> list[SyncedModel]:
        """Return the records with just this text, else those whose text differs in capital letters at most."""
        return self._exact.get(self.key(text)) or self.near_matches(text)

    def near_matches(self, text: str) -> list[SyncedModel]:
        """Return those whose text differs in capital letters at most."""
        return self._loose.get(self.key(text).lower(), [])


class RelatedWidget(ForeignKeyWidget):  # type: ignore[misc]  # import_export has no types
    """A cell that names another record: an organization by its name, a contact by its email or name.

    With `create_missing`, {id: name}, one that is missing becomes a record that isn't stored, of that id or a new one,
    the same for every row that names it: `to_create` has them.
    """

    def __init__(self, entity_type: str, texts: Iterable[str], *, create_missing: Mapping[str, str] | None) -> None:
        model: Any = registry.entity(entity_type).model
        super().__init__(model)
        names = {text for text in texts if text}
        self.entity_type, self.create_missing = entity_type, create_missing
        self.key_field = registry.entity(entity_type).match_key
        self._by_name = RecordMatcher(entity_type, "name", names)
        self._by_key = self._by_name
        if self.key_field != "name":
            self._by_key = RecordMatcher(entity_type, self.key_field, {text for text in names if "@" in text})
        self.ambiguous: set[str] = set()
        self.to_create: dict[str, str] = {}
        self._new: dict[str, SyncedModel] = {}
        self._ids = {self._by_name.key(name).lower(): key for key, name in (create_missing or {}).items()}

    def clean(self, value: str, row: Any = None, **kwargs: Any) -> SyncedModel | None:
        """Return the record that a cell names; raises ValueError for none, or several."""
        if not value:
            return None
        matcher = self._by_key if "@" in value else self._by_name
        found = matcher.best_matches(value)
        if len(found) == 1:
            return found[0]
        if found:
            self.ambiguous.add(value)
            message = f"{len(found)} {self.entity_type}s are called “{value}”."
            raise ValueError(f"{message} Give them names of their own in NPD, or empty this cell.")
        if self.create_missing is None:
            hint = " choose to create organizations," if self.entity_type == "organization" else ""
            raise ValueError(
                f"There is no {self.entity_type} “{value}”. Add it to NPD first,{hint} or empty this cell."
            )
        if len(value) > MAX_NAME_CHARACTERS:
            raise ValueError(f"The name has {len(value)} characters; at most {MAX_NAME_CHARACTERS} fit. Shorten it.")
        key = matcher.key(value).lower()
        if key not in self._new:
            self._new[key] = self.model(id=UUID(self._ids.get(key) or uuid.uuid4().hex), name=value)
        new = self._new[key]
        self.to_create[str(new.pk)] = new.name  # type: ignore[attr-defined]
        return new


class RecordLoader(BaseInstanceLoader):  # type: ignore[misc]
    """Finds each row's record for all rows at once: by NPD ID, else match key, else name.

    The resource's `texts` are the cells by the row's number, `apart` the records that count as not there.
    """

    def __init__(self, resource: Any, dataset: Any = None) -> None:
        super().__init__(resource, dataset)
        self.entity_type: str = resource.entity_type
        self.labels: Mapping[str, str] = resource.labels
        self.texts: Mapping[int, Texts] = resource.texts
        self.key_field = registry.entity(self.entity_type).match_key
        self._found: dict[int, SyncedModel | ValidationError | None] = {}
        self._find_all(records_of(self.entity_type).exclude(pk__in=resource.apart))

    def get_instance(self, row: Mapping[str, Any]) -> SyncedModel | None:
        """Return the row's record, None for a new one; raises ValidationError where nobody can tell."""
        found = self._found.get(row[NUMBER])
        if isinstance(found, ValidationError):
            raise found
        return found

    def _find_all(self, records: QuerySet[Any]) -> None:
        rows = self.texts.values()
        ids = {key for texts in rows if (key := parse_uuid(texts.get(NPD_ID, "")))}
        self._by_id: dict[UUID, SyncedModel] = {record.pk: record for record in records.filter(pk__in=ids)}
        self._by_key = RecordMatcher(
            self.entity_type, self.key_field, [texts.get(self.key_field, "") for texts in rows], records
        )
        self._by_name = self._by_key
        if self.key_field != "name":
            nameless = [texts.get("name", "") for texts in rows if not texts.get(self.key_field)]
            self._by_name = RecordMatcher(self.entity_type, "name", nameless, records)
        for number, texts in self.texts.items():
            try:
                self._found[number] = self._find(texts)
            except ValidationError as fault:
                self._found[number] = fault
        self._find_repeated()

    def _find(self, texts: Texts) -> SyncedModel | None:
        key_label = self.labels[self.key_field]
        if npd_id := texts.get(NPD_ID):
            key = parse_uuid(npd_id)
            record = self._by_id.get(key) if key else None
            if record is None:
                self._fault(
                    NPD_ID,
                    f"There is no {self.entity_type} with the NPD ID “{npd_id}”. Correct it, or empty the cell to "
                    f"match by {key_label.lower()}.",
                    code="invalid",
                )
            return record
        if text := texts.get(self.key_field):
            found = self._by_key.best_matches(text)
            if len(found) == 1:
                return found[0]
            if found:
                self._fault(
                    self.key_field,
                    f"{len(found)} {self.entity_type}s have this {key_label.lower()} “{text}”. Add a column NPD ID "
                    "that says which.",
                )
        elif texts.get("name") and self._by_name.near_matches(texts["name"]):
            self._fault(
                "name",
                f"A {self.entity_type} of this name is in NPD, but without {key_label.lower()} nobody can tell whether "
                "it is the same. Add it, or the NPD ID.",
            )
        return None

    def _fault(self, field: str, text: str, code: str = AMBIGUOUS) -> None:
        raise ValidationError({field: ValidationError(text, code=code)})

    # --- rows about the same record ---

    def _find_repeated(self) -> None:
        """Reject the rows that are about one record; several may have one key where each has its NPD ID."""
        numbers: dict[str, list[int]] = {}
        shared: dict[int, list[str]] = {}
        unidentified: set[str] = set()
        for number, texts in self.texts.items():
            if isinstance(self._found.get(number), ValidationError):
                continue
            shared[number] = self._identities(number, texts)
            if not texts.get(NPD_ID):
                unidentified.update(shared[number])
            for identity in shared[number]:
                numbers.setdefault(identity, []).append(number)
        for number, identities in shared.items():
            same = next(
                (
                    found
                    for one in identities
                    if len(found := numbers[one]) > 1 and (one in unidentified or not one.startswith("key "))
                ),
                None,
            )
            if same:
                # Not all: what is said of the rows would grow with the square of their number.
                listed = [other for other in same[: NAMED_ROWS + 1] if other != number][:NAMED_ROWS]
                more = len(same) - 1 - len(listed)
                others = ", ".join(map(str, listed)) + (f" and {more:,} more" if more else "")
                said, other = self.texts[number], self.texts[listed[0]]
                differing = ", ".join(self.labels[name] for name in said if said[name] != other.get(name))
                differs = f" Row {listed[0]} differs in {differing}." if differing else ""
                self._found[number] = ValidationError(
                    f"The file has this {self.entity_type} more than once (also row {others}).{differs} Keep the row "
                    "that is right, remove the others from the file, and choose the file again.",
                    code=REPEATED,
                )

    def _identities(self, number: int, texts: Texts) -> list[str]:
        """Return what rows about the same record share."""
        record, key = self._found.get(number), texts.get(self.key_field, "")
        identities = [str(record.pk)] if isinstance(record, SyncedModel) else []
        # What is no email address names nobody, so two of them are not one person.
        if key and (isinstance(record, SyncedModel) or self._names_somebody(key)):
            identities.append(f"key {self._by_key.key(key).lower()}")
        elif not identities and not key and (name := self._by_name.key(texts.get("name", "")).lower()):
            identities.append(f"name {name}")
        return identities

    def _names_somebody(self, key: str) -> bool:
        field: Any = registry.entity(self.entity_type).model._meta.get_field(self.key_field)
        try:
            field.clean(key, None)
        except ValidationError:
            return False
        return True


def parse_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
