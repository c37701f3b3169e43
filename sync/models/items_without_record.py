"""Items that no record has: those of deleted records, ignored ones, and unmatched ones."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from sync import choices
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT
from sync.kernel.messages import UnmatchedReason, unmatched_sentence


class Tombstone(models.Model):
    """A deleted record, written by a trigger and kept so that its item creates no new record."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    monday_id = models.CharField(max_length=50, null=True, blank=True)
    # The record's row, by column; without values once the person was erased.
    data: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT)
    deleted_at = models.DateTimeField(db_default=SyncNow())
    # What became of its item, as a sentence and as a TombstoneReason.
    note = models.TextField("reason", blank=True, db_default="")
    reason_code = models.CharField(max_length=30, blank=True, db_default="")
    state = models.CharField(
        max_length=20, choices=choices.TombstoneState.choices, db_default=choices.TombstoneState.WAITING
    )
    settled_at = models.DateTimeField("done at", null=True, blank=True)
    # Shared by the records deleted in one act; null for those deleted by a script.
    context_id = models.UUIDField("history context of its deletion", null=True, blank=True, editable=False)

    class Meta:
        db_table = "sync_tombstones"
        default_permissions = ("view",)
        verbose_name = "deleted record"
        verbose_name_plural = "deleted records"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id"], name="sync_tombstones_one_a_record")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity_type", "monday_id"], name="sync_tombstones_item")
        ]

    def __str__(self) -> str:
        return f"Deleted {self.entity_type} {self.data.get('name', self.entity_id)}"


class IgnoredItem(models.Model):
    """An item that must not become a record, with the reason, so that nobody is asked again."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50)
    reason = models.TextField()
    # If not, it only can't be the item of `entity_id`, or it is a second item of a deleted record.
    left_alone = models.BooleanField("left alone by a policy or a person", db_default=False)
    entity_id = models.UUIDField("the record that it was unlinked from, or is not the same as", null=True, blank=True)
    # Then no delivery about it is stored, and pages don't show that it is ignored.
    erased = models.BooleanField("its person was erased: nothing of it may be stored", db_default=False)
    at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_ignored_items"
        default_permissions = ("delete", "view")
        verbose_name = "ignored item"
        verbose_name_plural = "ignored items"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "item_id"], name="sync_ignored_items_once")
        ]

    def __str__(self) -> str:
        return f"Item {self.item_id}"


class UnmatchedItem(models.Model):
    """An item without a record, as it was last read, with the reason; it decides nothing.

    It is deleted when a record gets the item (by a trigger of the synced tables), or the item leaves the board.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    board_id = models.CharField(max_length=50, blank=True, db_default="")
    item_id = models.CharField("Monday item", max_length=50)
    name = models.TextField(blank=True, db_default="")
    reason_code = models.CharField("why", max_length=30, db_default=UnmatchedReason.QUEUED.value)
    # The arguments of the reason's sentence.
    details: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    # The item's values by field.
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    first_seen = models.DateTimeField("since", db_default=SyncNow())
    last_seen = models.DateTimeField("last seen on the board", db_default=SyncNow())
    ignored_at = models.DateTimeField("ignored", null=True, blank=True)

    class Meta:
        db_table = "sync_unmatched_items"
        default_permissions = ("change", "view")
        verbose_name = "unmatched item"
        verbose_name_plural = "unmatched items"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The item first, because the trigger that deletes a row knows no type.
            models.UniqueConstraint(fields=["item_id", "entity_type"], name="sync_unmatched_items_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list, newest first, and its counts.
            models.Index(
                fields=["-first_seen", "-id"],
                include=["reason_code", "entity_type"],
                condition=models.Q(ignored_at=None),
                name="sync_unmatched_items_listed",
            ),
            # Serves "what was ignored last", for the undo and the version of open pages.
            models.Index(
                fields=["ignored_at"], condition=models.Q(ignored_at__isnull=False), name="sync_unmatched_items_ignored"
            ),
            # Serves "which items were not in the listing".
            models.Index(fields=["entity_type", "last_seen"], name="sync_unmatched_items_seen"),
        ]

    def __str__(self) -> str:
        return self.name or f"Item {self.item_id}"

    @property
    def reason_sentence(self) -> str:
        return unmatched_sentence(UnmatchedReason(self.reason_code), **self.details)
