"""Conflicts, what people chose in them, and what a choice does to both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models

from conflicts import reports
from conflicts.reports import ConflictKind, normalize_text, same_text
from sync import registry
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT
from sync.words.message import JSONWithMessages

NPD = "npd"
BASE = "base"
MONDAY = "monday"
CUSTOM = "custom"
SELECTABLE = (NPD, BASE, MONDAY, CUSTOM)

# What stands instead of a choice for a field that left its conflict without a resolution.
CLOSED_ITSELF = "auto"

# The key of `notes` for the reason why the conflict was closed.
CLOSING_NOTE = "*"

# resolution_type of a stored request to undo already resolved fields (not a ResolutionType).
UNDO = "undo"

# The order of lists: open conflicts, oldest first, then the resolved ones, latest first.
OPEN_FIRST = (models.F("resolved_at").desc(nulls_first=True), models.F("detected_at").asc(), "id")


# The values of one field on both sides, by "npd" and "monday"; None is empty.
Sides = Mapping[str, str | None]

# By whether NPD changes and whether Monday changes: what changes, where a value is removed, where one is written.
_EFFECT_TEXTS = {
    (True, True): ("NPD and Monday change", "on both sides", "written in NPD and on Monday"),
    (True, False): ("NPD changes, Monday stays", "in NPD", "written in NPD"),
    (False, True): ("Monday changes, NPD stays", "on Monday", "written on Monday"),
    (False, False): ("Nothing changes", "", "nothing had to be written"),
}


def same_sides(shown: Sides, current: Sides) -> bool:
    return all(same_text(shown.get(side), current[side]) for side in (NPD, MONDAY))


@dataclass(frozen=True)
class Effect:
    """What a choice does to a field."""

    value: str | None  # what the field becomes on each side that changes
    npd_changes: bool
    monday_changes: bool

    @classmethod
    def of(cls, choose: str, values: Sides, typed: str | None = None, *, kind: str = ConflictKind.FIELDS) -> Effect:
        """Return the effect of choosing a side, or of a typed value, in a conflict of this kind."""
        result = typed if choose == CUSTOM else values[choose]
        npd_changes = not same_text(result, values[NPD])
        if kind == ConflictKind.OVERWRITTEN:
            # Until it is resolved, both sides have NPD's value.
            return cls(normalize_text(result), npd_changes, npd_changes)
        if kind == reports.REJECTED and choose == NPD:
            # “Leave both as they are”.
            return cls(normalize_text(result), npd_changes=False, monday_changes=False)
        monday_changes = choose != MONDAY and not same_text(result, values[MONDAY])
        return cls(normalize_text(result), choose != NPD and npd_changes, monday_changes)

    @property
    def what_changes(self) -> str:
        return _EFFECT_TEXTS[self.npd_changes, self.monday_changes][0]

    @property
    def emptied_side(self) -> str:
        """Where a value is removed, in words; empty if none is."""
        return "" if self.value else _EFFECT_TEXTS[self.npd_changes, self.monday_changes][1]

    @property
    def written(self) -> str:
        return _EFFECT_TEXTS[self.npd_changes, self.monday_changes][2]


@dataclass(frozen=True)
class StoredResolution:
    """A person's choice per field, kept until a pass applies it."""

    resolution_type: str = ""
    by_id: int | None = None
    by: str = ""
    at: str = ""
    fields: Mapping[str, reports.FieldSelection] = field(default_factory=dict)  # wait for a pass
    handed_back: Mapping[str, reports.FieldSelection] = field(default_factory=dict)  # were rejected by a pass
    reasons: Mapping[str, str] = field(default_factory=dict)  # why they were rejected, by field

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> StoredResolution:
        if not stored:
            return cls()
        selections = {
            name: {key: reports.FieldSelection(**selection) for key, selection in stored[name].items()}
            for name in ("fields", "handed_back")
        }
        return cls(**{**stored, **selections})

    def to_json(self) -> dict[str, Any] | None:
        return asdict(self) if self.fields or self.handed_back else None

    def without(self, keys: set[str]) -> StoredResolution:
        return replace(self, fields={key: selection for key, selection in self.fields.items() if key not in keys})

    def with_rejected(self, reasons: Mapping[str, str]) -> StoredResolution:
        """Return the resolution with these fields rejected, for these reasons."""
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


def _default_labels(entity_type: str) -> Mapping[str, str]:
    if not registry.is_registered(entity_type):
        return {}
    return {spec.key: spec.label for spec in registry.entity(entity_type).mappings}


class ResolutionType(models.TextChoices):
    KEEP_NPD = "keep_npd", "Use NPD"
    KEEP_MONDAY = "keep_monday", "Use Monday"
    MERGE = "merge", "Field by field"
    AUTO = "auto", "By itself"


class SyncConflict(models.Model):
    """Fields that both sides changed differently, or a question about a whole record."""

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    entity_type = models.CharField(max_length=50, db_index=True)
    entity_id = models.UUIDField(db_index=True)
    monday_item_id = models.CharField(max_length=50, db_index=True)
    # Displayed values by field. For an overwritten edit, npd_data is the value on both sides and monday_data the lost
    # one.
    npd_data: models.JSONField[Any, Any] = models.JSONField()
    monday_data: models.JSONField[Any, Any] = models.JSONField()
    conflict_fields = ArrayField(models.CharField(max_length=100))
    detected_at = models.DateTimeField(db_default=SyncNow(), db_index=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    # External readers rely on NULL = unresolved.
    resolution_type = models.CharField(max_length=50, choices=ResolutionType.choices, null=True, blank=True)
    kind = models.CharField(max_length=20, choices=ConflictKind.choices, db_default=ConflictKind.FIELDS)
    base_data: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default=EMPTY_OBJECT)
    # {field, or CLOSING_NOTE: a sentence for the person}.
    notes: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # {field: {choose, value, the values chosen for, type, by, by_id, chosen_at, at}} of fields that left the conflict,
    # in whichever way.
    merge_selections: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT)
    # {field: the displayed value that resolved it}.
    resolved_data: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT)
    # A StoredResolution. The next pass applies it if the values are still those that the person saw.
    resolution: models.JSONField[Any, Any] = JSONWithMessages(null=True, blank=True)
    # `ConflictReport.data` of a delete or an identity.
    about: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT)
    # {field: {before, after}} of resolved fields, as stored values.
    inverse: models.JSONField[Any, Any] = models.JSONField(
        "what undoes it, by field", default=dict, db_default=EMPTY_OBJECT
    )

    class Meta:
        db_table = "sync_conflicts"
        default_permissions = ("change", "view")
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
            # Serves the list's order without a sort, and the count of recently resolved conflicts.
            models.Index(*OPEN_FIRST, name="sync_conflicts_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} · {', '.join(self.conflict_fields) or self.get_kind_display()}"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def stored_resolution(self) -> StoredResolution:
        return StoredResolution.from_json(self.resolution)

    @property
    def resolution_problem(self) -> str:
        """Why what was chosen was not applied; empty if it was, or nothing was chosen."""
        return " ".join(dict.fromkeys(self.stored_resolution.reasons.values()))

    @property
    def is_being_applied(self) -> bool:
        """Whether the conflict is open and a pass still has to apply, or undo, a resolution."""
        return self.is_open and bool(self.stored_resolution.fields)

    @property
    def is_being_undone(self) -> bool:
        """Whether a pass still has to undo a resolution."""
        stored = self.stored_resolution
        return stored.resolution_type == UNDO and bool(stored.fields)

    @property
    def is_about_record(self) -> bool:
        """Whether the question is about the whole record."""
        return self.kind in (ConflictKind.DELETE, ConflictKind.IDENTITY)

    def label(self, key: str) -> str:
        """Return a field's default label, without a query."""
        return _default_labels(self.entity_type).get(key, key.replace("_", " ").capitalize())

    def in_order(self, keys: Iterable[str]) -> list[str]:
        """Return the keys of fields in the order of the forms, because jsonb sorts keys by length."""
        order = list(_default_labels(self.entity_type))
        return sorted(keys, key=lambda key: order.index(key) if key in order else len(order))

    def labels(self, keys: Iterable[str]) -> str:
        return ", ".join(self.label(key) for key in self.in_order(keys))

    def values(self, key: str) -> dict[str, str | None]:
        return {NPD: self.npd_data.get(key), BASE: self.base_data.get(key), MONDAY: self.monday_data.get(key)}

    def sides(self, key: str) -> dict[str, str | None]:
        return {NPD: self.npd_data.get(key), MONDAY: self.monday_data.get(key)}

    @property
    def question(self) -> str:
        what: str = self.about.get("what", "")
        return what

    @property
    def left_open(self) -> list[str]:
        """Return the fields without a resolution, or the key "record"."""
        if not self.is_open:
            return []
        keys = [reports.RECORD_KEY] if self.is_about_record else self.conflict_fields
        return [key for key in keys if key not in self.stored_resolution.fields]

    @property
    def options(self) -> list[reports.Option]:
        """What may be chosen in a conflict about the whole record."""
        return [reports.Option(**option) for option in self.about.get("options", [])]

    def chosen_option(self, selection: reports.FieldSelection) -> reports.Option | None:
        """Return the selected option, or None if it is not offered; programs may send its name as a custom value."""
        name = selection.value if selection.choose == CUSTOM else f"{selection.choose} {selection.value or ''}".strip()
        return next((option for option in self.options if option.name == name), None)

    def act_option(self, act: str) -> reports.Option | None:
        """Return the option about the whole record that does this act; None unless there is exactly one."""
        options = [option for option in self.options if option.choose == act] if self.is_about_record else []
        return options[0] if len(options) == 1 else None

    def selection_effect(self, key: str, selection: reports.FieldSelection) -> Effect:
        """Return the effect of a field's choice on the values that it was made for."""
        values = {NPD: selection.npd, BASE: self.base_data.get(key), MONDAY: selection.monday}
        return Effect.of(selection.choose, values, selection.value, kind=self.kind)

    def applied_effect(self, key: str) -> Effect:
        """Return the effect of a field's applied resolution on the values that it was made for."""
        entry = self.merge_selections[key]
        return Effect.of(entry["choose"], entry, self.resolved_data.get(key), kind=self.kind)

    @property
    def resolved_by_people(self) -> dict[str, dict[str, Any]]:
        """The entries of `merge_selections` of the fields that people resolved."""
        entries = self.merge_selections
        return {key: entries[key] for key in self.in_order(entries) if entries[key]["choose"] != CLOSED_ITSELF}

    @property
    def resolved_entries(self) -> dict[str, dict[str, Any]]:
        """The entries of the fields that people resolved and that are not in conflict again."""
        in_conflict = self.conflict_fields if self.is_open else ()
        return {key: entry for key, entry in self.resolved_by_people.items() if key not in in_conflict}


# The condition for `is_being_applied`.
BEING_APPLIED = models.Q(resolved_at=None, resolution__isnull=False) & ~models.Q(resolution__fields={})

# Open, or resolved with an undo request: closing a conflict clears any other resolution.
OPEN_OR_UNDOING = models.Q(resolved_at=None) | models.Q(resolution__isnull=False)
