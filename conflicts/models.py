"""What two people changed differently, waiting for a person; and how it was settled."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from conflicts.batch_models import BatchEntry, BatchState, ConflictBatch, Outcome, Undoing
from conflicts.choice import StoredChoice
from conflicts.suggestion_models import DismissedSuggestion
from sync.clock import SyncNow
from sync.hooks import RECORD

__all__ = [
    "BatchEntry",
    "BatchState",
    "ConflictBatch",
    "ConflictKind",
    "DismissedSuggestion",
    "Outcome",
    "ResolutionType",
    "SyncConflict",
    "Undoing",
]

EMPTY = models.Value({}, models.JSONField())


class ConflictKind(models.TextChoices):
    """What moved apart."""

    FIELDS = "fields", _("Fields differ")
    OVERWRITTEN = "overwritten", _("An edit was overwritten")
    DELETE = "delete", _("Deleted on one side")
    IDENTITY = "identity", _("Who is this?")


class ResolutionType(models.TextChoices):
    """How a conflict was settled."""

    KEEP_NPD = "keep_npd", _("Keep NPD")
    KEEP_MONDAY = "keep_monday", _("Keep Monday")
    MERGE = "merge", _("Field by field")
    AUTO = "auto", _("By itself")


class SyncConflict(models.Model):
    """Fields on which both sides moved apart; npd_data, monday_data, base_data are keyed by field name.

    Of an overwritten edit npd_data is what stands on both sides, monday_data the value that was lost. Of a delete
    and an identity `about` says {what: a sentence, options: the ways out, candidates: of an identity}; an identity's
    npd_data says the same.

    `choice` is a resolution as stored, for exactly the values that its author saw; the next look applies it where
    they still stand, and only then is the conflict resolved. On a settled conflict it is one that is to be undone, by
    the raw values that `inverse` keeps of each field: {before, after}.
    """

    id = models.UUIDField(primary_key=True, db_default=RandomUUID(), editable=False)
    entity_type = models.CharField(max_length=50, db_index=True)
    entity_id = models.UUIDField(db_index=True)
    monday_item_id = models.CharField(max_length=50, db_index=True)
    npd_data: models.JSONField[Any, Any] = models.JSONField()
    monday_data: models.JSONField[Any, Any] = models.JSONField()
    conflict_fields = ArrayField(models.CharField(max_length=100))
    detected_at = models.DateTimeField(db_default=SyncNow(), db_index=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    # NULL until it is resolved: a contract of this table.
    resolution_type = models.CharField(max_length=50, choices=ResolutionType.choices, null=True, blank=True)
    kind = models.CharField(max_length=20, choices=ConflictKind.choices, db_default=ConflictKind.FIELDS)
    base_data: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    notes: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    merge_selections: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    resolved_data: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    choice: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    choice_problem = models.TextField(_("why the choice was not applied"), blank=True, db_default="")
    about: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    inverse: models.JSONField[Any, Any] = models.JSONField(_("what undoes it, by field"), db_default=EMPTY)

    class Meta:
        db_table = "sync_conflicts"
        verbose_name = _("conflict")
        ordering: ClassVar[list[str]] = ["-detected_at", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "kind"],
                condition=Q(resolved_at=None) & ~Q(kind=ConflictKind.IDENTITY),
                name="sync_conflicts_one_open_a_kind",
            ),
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "monday_item_id"],
                condition=Q(resolved_at=None, kind=ConflictKind.IDENTITY),
                name="sync_conflicts_one_open_an_item",
            ),
            models.CheckConstraint(
                condition=Q(resolution_type=None) | Q(resolution_type__in=ResolutionType.values),
                name="sync_conflicts_resolution_known",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list of what waits for a person, oldest first.
            models.Index(
                fields=["detected_at"], condition=Q(resolved_at=None), name="sync_conflicts_waiting"
            ),
            # Serves the list in its own order (waiting.OPEN_FIRST), so that a page is read and not all sorted for it;
            # and, by its first column, the counts of what was settled of late and the rules suggested from that.
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
        """Whether it still waits."""
        return self.resolved_at is None

    @property
    def stored_choice(self) -> StoredChoice:
        """The stored resolution; one without fields where there is none."""
        return StoredChoice.from_json(self.choice)

    @property
    def is_being_applied(self) -> bool:
        """Whether a person has chosen and the next look is to apply it."""
        return self.is_open and bool(self.stored_choice.fields)

    @property
    def is_being_undone(self) -> bool:
        """Whether it is settled, and the next look is to undo that."""
        return not self.is_open and bool(self.stored_choice.fields)

    @property
    def is_about_record(self) -> bool:
        """Whether one of several ways out is chosen for the whole record, and no values of fields."""
        return self.kind in (ConflictKind.DELETE, ConflictKind.IDENTITY)

    @property
    def what(self) -> str:
        """What happened, as a sentence; of conflicts about values an empty text."""
        return str(self.about.get("what", ""))

    @property
    def left_open(self) -> list[str]:
        """What nothing is chosen for yet: fields, or the record itself under the key "record"."""
        chosen, asked = self.stored_choice.fields, [RECORD] if self.is_about_record else self.conflict_fields
        return [key for key in asked if self.is_open and key not in chosen]
