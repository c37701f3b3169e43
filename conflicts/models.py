"""Conflicts, and what people chose in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models

from conflicts import reports
from sync import registry
from sync.clock import SyncNow
from sync.merge import FieldSelection

NPD = "npd"
BASE = "base"
MONDAY = "monday"
CUSTOM = "custom"
CHOICES = (NPD, BASE, MONDAY, CUSTOM)

# What a screen's form sends where both texts are used; it is stored as the typed value that it leads to.
BOTH = "both"

# Stands in place of a side for a field that left its conflict without a resolution.
AUTO = "auto"

# The type of a stored resolution whose fields were resolved: what it names is to be undone.
UNDO = "undo"


@dataclass(frozen=True)
class StoredResolution:
    """A resolution as stored."""

    resolution_type: str = ""
    by_id: int | None = None
    by: str = ""
    at: str = ""
    fields: Mapping[str, FieldSelection] = field(default_factory=dict)  # what waits for a pass
    handed_back: Mapping[str, FieldSelection] = field(default_factory=dict)  # what could not be applied
    reasons: Mapping[str, str] = field(default_factory=dict)  # and why, by field

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> StoredResolution:
        """Read what `to_json` wrote; nothing stored is a resolution without fields."""
        if not stored:
            return cls()
        picks = {
            name: {key: FieldSelection(**selection) for key, selection in stored[name].items()}
            for name in ("fields", "handed_back")
        }
        return cls(**{**stored, **picks})

    def to_json(self) -> dict[str, Any] | None:
        return asdict(self) if self.fields or self.handed_back else None

    def without(self, keys: set[str]) -> StoredResolution:
        return replace(self, fields={key: selection for key, selection in self.fields.items() if key not in keys})

    def with_rejected(self, reasons: Mapping[str, str]) -> StoredResolution:
        """Return the resolution with these fields handed back, each with its reason."""
        rejected = {key: self.fields[key] for key in reasons if key in self.fields}
        if not rejected:
            return self
        return replace(
            self.without(set(rejected)),
            handed_back={**self.handed_back, **rejected},
            reasons={**self.reasons, **{key: reasons[key] for key in rejected}},
        )

    def restricted_to(self, keys: set[str]) -> StoredResolution:
        """Return the resolution without fields that are no longer in conflict."""
        return replace(
            self,
            fields={key: selection for key, selection in self.fields.items() if key in keys},
            handed_back={key: selection for key, selection in self.handed_back.items() if key in keys},
            reasons={key: reason for key, reason in self.reasons.items() if key in keys},
        )


EMPTY_OBJECT = models.Value({}, models.JSONField())


def _proposed_labels(entity_type: str) -> Mapping[str, str]:
    try:
        return {spec.key: spec.label for spec in registry.entity(entity_type).mappings}
    except registry.UnknownEntity:
        return {}


class ConflictKind(models.TextChoices):
    FIELDS = reports.KIND_FIELDS, "Fields differ"
    OVERWRITTEN = reports.KIND_OVERWRITTEN, "An edit on Monday was lost"
    DELETE = reports.KIND_DELETE, "Deleted on one side"
    IDENTITY = reports.KIND_IDENTITY, "Who is this?"


class ResolutionType(models.TextChoices):
    KEEP_NPD = "keep_npd", "Use NPD"
    KEEP_MONDAY = "keep_monday", "Use Monday"
    MERGE = "merge", "Field by field"
    AUTO = "auto", "By itself"


class SyncConflict(models.Model):
    """Fields that both sides changed differently, or what is asked about a record as a whole."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    entity_type = models.CharField(max_length=50, db_index=True)
    entity_id = models.UUIDField(db_index=True)
    monday_item_id = models.CharField(max_length=50, db_index=True)
    # By field, as displayed. Of an overwritten edit npd_data is what both sides have now and monday_data the value
    # that was lost; of an identity npd_data says the same as `about`.
    npd_data: models.JSONField[Any, Any] = models.JSONField()
    monday_data: models.JSONField[Any, Any] = models.JSONField()
    conflict_fields = ArrayField(models.CharField(max_length=100))
    detected_at = models.DateTimeField(db_default=SyncNow(), db_index=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    # NULL until it is resolved: a contract of this table.
    resolution_type = models.CharField(max_length=50, choices=ResolutionType.choices, null=True, blank=True)
    kind = models.CharField(max_length=20, choices=ConflictKind.choices, db_default=ConflictKind.FIELDS)
    base_data: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    notes: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    merge_selections: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    resolved_data: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    # What a person decided, for exactly the values that they saw: the next pass applies it if they are still the same,
    # and only then is the conflict resolved. Of the type UNDO it is a request to undo fields that were resolved.
    resolution: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    resolution_problem = models.TextField("why the resolution was not applied", blank=True, default="", db_default="")
    # Of a delete and an identity {what: a sentence, options, candidates: of an identity}.
    about: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    # Of each resolved field the stored values {before, after}.
    inverse: models.JSONField[Any, Any] = models.JSONField(
        "what undoes it, by field", default=dict, db_default=EMPTY_OBJECT
    )

    class Meta:
        db_table = "sync_conflicts"
        verbose_name = "conflict"
        ordering: ClassVar[list[str]] = ["-detected_at", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "kind"],
                condition=models.Q(resolved_at=None) & ~models.Q(kind=ConflictKind.IDENTITY),
                name="sync_conflicts_one_open_a_kind",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "monday_item_id"],
                condition=models.Q(resolved_at=None, kind=ConflictKind.IDENTITY),
                name="sync_conflicts_one_open_an_item",
            ),
            models.CheckConstraint(
                condition=models.Q(resolution_type=None) | models.Q(resolution_type__in=ResolutionType.values),
                name="sync_conflicts_resolution_known",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list of open conflicts, oldest first.
            models.Index(fields=["detected_at"], condition=models.Q(resolved_at=None), name="sync_conflicts_waiting"),
            # Serves the list in its own order (OPEN_FIRST), so that a page is read without sorting all; and, by its
            # first column, the count of recently resolved ones.
            models.Index(
                models.F("resolved_at").desc(nulls_first=True),
                models.F("detected_at").asc(),
                "id",
                name="sync_conflicts_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} · {', '.join(self.conflict_fields) or self.get_kind_display()}"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def stored_resolution(self) -> StoredResolution:
        """Return the stored resolution; one without fields where there is none."""
        return StoredResolution.from_json(self.resolution)

    @property
    def is_being_applied(self) -> bool:
        """Whether it is open, and the next pass is to apply what was chosen, or to undo a part of it."""
        return self.is_open and bool(self.stored_resolution.fields)

    @property
    def is_being_undone(self) -> bool:
        """Whether the next pass is to undo how it, or a part of it, was resolved."""
        stored = self.stored_resolution
        return stored.resolution_type == UNDO and bool(stored.fields)

    @property
    def is_about_record(self) -> bool:
        """Whether one of several options is chosen for the whole record, and no values of fields."""
        return self.kind in (ConflictKind.DELETE, ConflictKind.IDENTITY)

    def label(self, key: str) -> str:
        """Return a field's label as its application proposes it; no query."""
        return _proposed_labels(self.entity_type).get(key, key.replace("_", " ").capitalize())

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """Return the keys of fields in the order of the forms: jsonb puts shorter ones first."""
        order = list(_proposed_labels(self.entity_type))
        return sorted(keys, key=lambda key: order.index(key) if key in order else len(order))

    def labels(self, keys: Iterable[str]) -> str:
        return ", ".join(self.label(key) for key in self.in_order(keys))

    def values(self, key: str) -> dict[str, str | None]:
        return {NPD: self.npd_data.get(key), BASE: self.base_data.get(key), MONDAY: self.monday_data.get(key)}

    def sides(self, key: str) -> dict[str, str | None]:
        return {NPD: self.npd_data.get(key), MONDAY: self.monday_data.get(key)}

    @property
    def what(self) -> str:
        return str(self.about.get("what", ""))

    @property
    def left_open(self) -> list[str]:
        """Return what has no resolution yet: fields, or the record itself under the key "record"."""
        if not self.is_open:
            return []
        keys = [reports.RECORD_KEY] if self.is_about_record else self.conflict_fields
        return [key for key in keys if key not in self.stored_resolution.fields]


# Open, with a resolution: one whose fields were all handed back doesn't count.
BEING_APPLIED = models.Q(resolved_at=None, resolution__isnull=False) & ~models.Q(resolution__fields={})


# The order of the list: open ones first, the oldest first, then what was resolved last.
OPEN_FIRST = (models.F("resolved_at").desc(nulls_first=True), models.F("detected_at").asc(), "id")
