"""What waits for a person, one row for each thing; triggers on what it is about keep the rows (sync/attention)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from sync.clock import SyncNow


class AttentionKind(models.TextChoices):
    """What kind of thing needs attention, the gravest first."""

    STOP = "stop", "Stopped"
    DIFFERENCE = "difference", "Differences"
    FAILED = "failed", "Failed"
    NOTIFICATION = "notification", "Notifications failing"
    APPROVAL = "approval", "Approvals"
    REMOVED = "removed", "Removed on Monday"
    CONFLICT = "conflict", "Conflicts"
    DUPLICATE = "duplicate", "Possible duplicates"
    REJECTED = "rejected", "Rejected by Monday"
    BLOCKED = "blocked", "Blocked"
    BOARD = "board", "Boards"
    UNMATCHED = "unmatched", "Unmatched items"


class Attention(models.Model):
    """One thing that waits for a person: of a record, of an item that no record has, or of a board or the account."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=AttentionKind.choices)
    # What it was made of, as its own table calls it: a job, a conflict, a field of a record. With the kind it stays the
    # same as long as the same thing waits.
    source = models.CharField(max_length=200)
    # Rows with one cause are one group.
    cause = models.CharField(max_length=200)
    code = models.CharField(max_length=30, blank=True, db_default="")
    # Empty of what concerns the account, or a person's notifications.
    entity_type = models.CharField("type of record", max_length=50, blank=True, db_default="")
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    item_id = models.CharField("Monday item", max_length=50, blank=True, db_default="")
    # The field that it is about; of a conflict all of them, by commas.
    field = models.TextField(blank=True, db_default="")
    # Who removed an item, and the act of theirs that it was part of: what they removed with short breaks is one.
    actor = models.CharField(max_length=200, blank=True, db_default="")
    act = models.CharField(max_length=20, blank=True, db_default="")
    since = models.DateTimeField(db_default=SyncNow())
    # From then on it needs nobody; NULL: until its source says so.
    until = models.DateTimeField(null=True, blank=True)
    # What its sentence names.
    values: models.JSONField[Any, Any] = models.JSONField(db_default=models.Value({}, models.JSONField()), blank=True)

    class Meta:
        db_table = "sync_attention"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "source"], name="sync_attention_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the groups, and a page of one of them.
            models.Index(fields=["cause", "since", "id"], name="sync_attention_of_cause"),
            # Serves "why does this record wait", and the refresh of its rows.
            models.Index(fields=["entity_id"], name="sync_attention_of_record"),
            # Serves the refresh of what is about no record.
            models.Index(
                fields=["entity_type", "item_id"], condition=models.Q(entity_id=None), name="sync_attention_of_item"
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.source}"
