"""Tables about records and items: sync states, approvals, update loops, awaited relations; deleted records; ignored and
unmatched items, with the sentences that say why an item has no record.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pgtrigger
from django.conf import settings
from django.contrib.postgres.indexes import HashIndex
from django.db import models

from sync import choices
from sync.choices import UnmatchedReason
from sync.clock import SyncNow
from sync.kernel.db import EMPTY_LIST, EMPTY_OBJECT, match_key_sql
from sync.kernel.humanize import within_sentence
from sync.monday import board_items
from sync.words.message import JSONWithMessages, Message, MessageField

# Other code may keep sync states with other systems (sync/state). In this one's rows `remote_id` is also `jira_id`.
JIRA = "jira"


MISSING = "missing"
MOVED = "moved"
INACTIVE = "inactive"  # a write failed because the item is gone; how, the next pass reads

# The states of a removed item.
OFF_BOARD_STATES = (board_items.ARCHIVED, board_items.DELETED, MISSING, MOVED)

# The states that the item itself reports; a missing or moved item may still exist.
REPORTED_STATES = (board_items.ARCHIVED, board_items.DELETED)


class SyncMetadataManager(models.Manager["SyncMetadata"]):
    def of(self, entity_type: str, ids: Iterable[uuid.UUID | str] | None = None) -> models.QuerySet[SyncMetadata]:
        """Return the Monday states of a type's records, of all or of these `ids`."""
        states = self.filter(entity_type=entity_type, system="monday")
        return states if ids is None else states.filter(entity_id__any_of=[str(entity_id) for entity_id in ids])


class SyncMetadata(models.Model):
    """The sync state: one row for each record and other system, with the last pass's result and the bases.

    `base`, `blocked_fields`, `altered` and `seen` are keyed by the mappings' keys. Only other code (sync/state) fills
    `content_hash`, `resolution_strategy`, `local_modified`, `remote_modified` and the two times of a conflict.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.TextField("NPD ID")
    system = models.CharField(max_length=20, db_default="monday")
    remote_id = models.CharField("Monday item", max_length=50, null=True, blank=True)
    sync_status = models.CharField(
        max_length=20,
        choices=choices.SyncStatus.choices,
        default=choices.SyncStatus.PENDING,
        db_default=choices.SyncStatus.PENDING,
    )
    last_sync_attempt = models.DateTimeField(null=True, blank=True)
    last_successful_sync = models.DateTimeField(null=True, blank=True)
    error_count = models.IntegerField(default=0, db_default=0)
    last_error = MessageField(blank=True, default="", db_default="")
    # The way in which the last pass moved values; the record's own `sync_direction` is the setting.
    sync_direction = models.CharField(
        max_length=20, choices=choices.SyncStateDirection.choices, db_default=choices.SyncStateDirection.BIDIRECTIONAL
    )
    sync_batch_id = models.UUIDField(null=True, blank=True)
    content_hash = models.CharField(max_length=64, blank=True, db_default="")
    # The fields of open conflicts, by kind: {“fields”: [key, …], “identity”: [what], …}. Other code's rows also have
    # the “values” of both sides, by key.
    conflicts: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT, blank=True)
    resolution_strategy = models.CharField(
        max_length=20, choices=choices.ResolutionStrategy.choices, db_default=choices.ResolutionStrategy.MANUAL
    )
    sync_duration_ms = models.IntegerField("duration of the last sync (ms)", null=True, blank=True)
    api_calls_count = models.IntegerField("API calls of the last sync", db_default=0)
    local_modified = models.DateTimeField("last change in NPD", null=True, blank=True)
    remote_modified = models.DateTimeField("last change on Monday", null=True, blank=True)
    # The last agreed pair, and what it belongs to: {local, remote, item, column, the mapping's version, at}.
    base: models.JSONField[Any, Any] = models.JSONField(
        "last synced values", default=dict, db_default=EMPTY_OBJECT, blank=True
    )
    # This and `altered`: {reason, code, …}, with `kept_by` if a person kept the value different, and `swallowed` if
    # Monday didn't store it.
    blocked_fields: models.JSONField[Any, Any] = JSONWithMessages(default=dict, db_default=EMPTY_OBJECT, blank=True)
    altered: models.JSONField[Any, Any] = JSONWithMessages(
        "values that Monday stored differently", default=dict, db_default=EMPTY_OBJECT, blank=True
    )
    # Why the last pass left the record as it is; `last_error` is only of a pass that failed.
    note = MessageField("reason", blank=True, default="", db_default="")
    # active, archived, deleted, missing, moved, inactive; restored if somebody restored the item of a deleted record.
    remote_state = models.CharField("last answer about the item", max_length=20, blank=True, default="", db_default="")
    removed_since = models.DateTimeField("item known to be gone since", null=True, blank=True)
    removed_passes = models.SmallIntegerField("checks in a row that found it missing", default=0, db_default=0)
    # By field, newest last: `values` on Monday that differed from the base when a pass of the last days read them, as
    # [value, when], which distinguish an event that a pass saw from a lost edit; and `losses`, as [value, when, our
    # write].
    seen: models.JSONField[Any, Any] = models.JSONField(
        "values last seen on Monday", default=dict, db_default=EMPTY_OBJECT, blank=True
    )
    # By field, since when its cell is shown as empty without a word about it; a sweep of the log ends the wait.
    emptied: models.JSONField[Any, Any] = models.JSONField(
        "cells emptied without a word", default=dict, db_default=EMPTY_OBJECT, blank=True
    )
    made_from_item = models.BooleanField("created from an item, unchanged in NPD", db_default=False)
    # Until it has an item, a person is asked before one is made.
    is_unplanned = models.BooleanField("got no new item in the set-up's plan", default=False, db_default=False)
    left_out = models.CharField("side whose filter leaves it out", max_length=10, blank=True, default="", db_default="")
    conflict_opened_at = models.DateTimeField("last conflict found", null=True, blank=True)
    conflict_resolved_at = models.DateTimeField("last conflict resolved", null=True, blank=True)

    objects = SyncMetadataManager()

    class Meta:
        db_table = "sync_metadata"
        default_permissions = ("view",)
        verbose_name = "sync state"
        verbose_name_plural = "sync states"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id", "system"], name="sync_metadata_one_a_record"),
            models.CheckConstraint(
                condition=models.Q(sync_status__in=choices.SyncStatus.values), name="sync_metadata_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(sync_direction__in=choices.SyncStateDirection.values),
                name="sync_metadata_direction_known",
            ),
            models.CheckConstraint(
                condition=models.Q(resolution_strategy__in=choices.ResolutionStrategy.values),
                name="sync_metadata_strategy_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(entity_type="") & ~models.Q(entity_id="") & ~models.Q(system=""),
                name="sync_metadata_named",
            ),
            models.CheckConstraint(
                condition=models.Q(error_count__gte=0, api_calls_count__gte=0, removed_passes__gte=0)
                & (models.Q(sync_duration_ms=None) | models.Q(sync_duration_ms__gte=0)),
                name="sync_metadata_counts_not_negative",
            ),
            models.CheckConstraint(
                condition=models.Q(last_successful_sync=None)
                | models.Q(last_sync_attempt__isnull=False, last_successful_sync__lte=models.F("last_sync_attempt")),
                name="sync_metadata_success_was_attempt",
            ),
            models.CheckConstraint(
                condition=models.Q(conflict_resolved_at=None)
                | models.Q(conflict_opened_at__isnull=False, conflict_resolved_at__gte=models.F("conflict_opened_at")),
                name="sync_metadata_conflict_opened_first",
            ),
        ]
        # If the database's clock steps back, the write must not fail: the other system was already written.
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Trigger(
                name="success_was_attempt",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                condition=pgtrigger.Condition(
                    "NEW.last_successful_sync IS NOT NULL AND"
                    " (NEW.last_sync_attempt IS NULL OR NEW.last_sync_attempt < NEW.last_successful_sync)"
                ),
                func="NEW.last_sync_attempt := NEW.last_successful_sync; RETURN NEW;",
            )
        ]
        # No index has a column that every pass changes, so that PostgreSQL's updates leave them alone (HOT). Reports
        # read the whole table, which takes a fraction of a second for 100,000 rows.
        indexes: ClassVar[list[models.Index]] = [
            # Serves the lookup by Jira's id.
            models.Index(fields=["remote_id"], condition=models.Q(system=JIRA), name="sync_metadata_jira"),
            # Serves "which record has this item" for a webhook.
            models.Index(fields=["entity_type", "remote_id"], name="sync_metadata_remote"),
            # Serves counts of records with blocked fields, and the check of columns.
            models.Index(
                fields=["entity_type", "entity_id"],
                condition=~models.Q(blocked_fields=EMPTY_OBJECT),
                name="sync_metadata_blocked",
            ),
            # Serves "which records wait for a sweep".
            models.Index(
                fields=["entity_type"], condition=~models.Q(emptied=EMPTY_OBJECT), name="sync_metadata_emptied"
            ),
            # Serves "which records have a removed item" on Home.
            models.Index(
                fields=["entity_type", "removed_since"],
                condition=models.Q(removed_since__isnull=False),
                name="sync_metadata_removed",
            ),
        ]

    def __copy__(self) -> SyncMetadata:
        """Return a copy for reading and changing in memory; Django's own takes five times as long."""
        other = object.__new__(SyncMetadata)
        vars(other).update(vars(self))
        return other

    def __str__(self) -> str:
        return f"Sync state {self.pk}"

    def set_blocked(self, key: str, entry: Mapping[str, Any] | None) -> dict[str, Any]:
        """Store a field's entry in `blocked_fields`, or None for none; return it and the former one.

        The caller has locked the row.
        """
        changed = {"before": self.blocked_fields.get(key), "after": entry}
        others = {other: stored for other, stored in self.blocked_fields.items() if other != key}
        self.blocked_fields = others if entry is None else {**others, key: entry}
        self.save(update_fields=["blocked_fields"])
        return changed

    @property
    def jira_id(self) -> str | None:
        """The remote id if the system is Jira; setting it, also in the constructor, makes the system Jira."""
        return self.remote_id if self.system == JIRA else None

    @jira_id.setter
    def jira_id(self, value: str | None) -> None:
        self.system = JIRA
        self.remote_id = value


# The name under which code of other systems knows the table.
SyncState = SyncMetadata


# The key in an entry of `blocked_fields` that a person kept different: nobody is asked until the value or its column
# changes, or the field is blocked for another reason.
KEPT_BY = "kept_by"

# In KEPT_BY's value: Monday's stored value at that time; missing until a pass has read it.
KEPT_REMOTE = "remote"

# The key in an entry of `altered` about a value that Monday answered without storing it: NPD's value at that time.
SWALLOWED = "swallowed"

# The type and id of a record, and the key of its field.
FieldRef = tuple[str, uuid.UUID, str]


def is_rejected(entry: Mapping[str, Any] | None) -> bool:
    """Whether an entry of `blocked_fields` is a value that Monday rejects, or that exceeds its column's limit."""
    return entry is not None and entry.get("code") in (choices.BlockedCode.REJECTED, choices.BlockedCode.LIMIT)


def is_blocking(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of `blocked_fields` keeps its record out of sync.

    Kept-different ones don't, nor do relations to records that will have no item.
    """
    return KEPT_BY not in entry and entry.get("code") != choices.BlockedCode.RELATION_SKIPPED


def approval_payload_key(key: str) -> str:
    """Return the key in a job's payload for the decision about a deletion, or about emptying the field `key`."""
    return f"approval:{key}"


class ApprovalRequest(models.Model):
    """One delete or clear: carried out, or waiting for a person's approval.

    It counts toward the limit of approvals while it waits or is approved, and for an hour after it was carried out.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    remote_id = models.CharField("Monday item", max_length=50, blank=True, db_default="")
    kind = models.CharField(max_length=20, choices=choices.ApprovalKind.choices)
    key = models.CharField("field", max_length=100, blank=True, db_default="")
    state = models.CharField(max_length=20, choices=choices.ApprovalState.choices)
    label = MessageField("what would be deleted or emptied", blank=True, db_default="")
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    at = models.DateTimeField(db_default=SyncNow())
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "sync_approval_requests"
        default_permissions = ("change", "view")
        verbose_name = "approval"
        verbose_name_plural = "approvals"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "kind", "key"],
                # Of a rejected one, the value hasn't been put back yet.
                condition=models.Q(state__in=["pending", "approved", "rejected"]),
                name="sync_approval_requests_one_open",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "how many of this kind within the hour", and the page of pending approvals.
            models.Index(fields=["entity_type", "kind", "state", "at"], name="sync_approval_requests_count")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.label} · {self.get_state_display()}"


class WriteLoop(models.Model):
    """A field that somebody on Monday rewrites after each of our writes; throttled until `throttled_until`."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField("field", max_length=100)
    # {at, write: the intent's id} for each of our writes of the last hour that was rewritten.
    times: models.JSONField[Any, Any] = models.JSONField("when it was rewritten", db_default=EMPTY_LIST)
    by = models.CharField("who rewrites it", max_length=200, blank=True, db_default="")
    throttled_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_write_loops"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id", "key"], name="sync_write_loops_one_a_field")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} {self.key}"


class AwaitedRelation(models.Model):
    """A record's relation that waits for a record of `target_type`; that table's triggers enqueue it.

    Only the triggers read it; the sync state's `blocked_fields` has the reason why the field is blocked.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField("field", max_length=50)
    target_type = models.CharField(max_length=50)
    # “item ” and an item's id, or “name ” and a name's `match_key`.
    target = models.TextField()

    class Meta:
        db_table = "sync_awaited_relations"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "key"], name="sync_awaited_relations_one_a_field"
            )
        ]
        indexes: ClassVar[list[Any]] = [
            # Serves "which relations wait for this item or name" in the target table's triggers. By hash, because a
            # name can be too long for a B-tree.
            HashIndex(fields=["target"], name="sync_awaited_relations_target")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} waits for the {self.target_type} of {self.target}"


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
    note = MessageField("reason", blank=True, db_default="")
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
    """An item that is left alone, or must not be a certain record's, with the reason, so that nobody is asked again."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50)
    reason = MessageField()
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
    details: models.JSONField[Any, Any] = JSONWithMessages(db_default=EMPTY_OBJECT, blank=True)
    # The item's values by field.
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT, blank=True)
    first_seen = models.DateTimeField("since", db_default=SyncNow())
    last_seen = models.DateTimeField("last seen on the board", db_default=SyncNow())
    # Then it becomes a record only if a person wants that.
    is_unplanned = models.BooleanField("got no new record in the set-up's plan", default=False, db_default=False)
    # Not listed since; the item's IgnoredItem says why, and stays when this row goes.
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
            # Serves "which items have the name of a record without an item". By hash, because a name can be long.
            HashIndex(match_key_sql("name"), name="sync_unmatched_items_by_name"),
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


def unmatched_sentence(reason: UnmatchedReason, **params: object) -> Message:
    """Return why an item has no record; `params` fill the placeholders, defaults the others."""
    defaults = {"label": "value", "type": "record", "types": "records", "names": "A record"}
    words = {**defaults, "filter": Message("filter_leaves_item_out"), **params}
    words["label"] = within_sentence(str(words["label"]))
    return Message(f"unmatched_{reason}", **words)
