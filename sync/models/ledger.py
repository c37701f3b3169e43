"""The ledger: the single source of truth of a record's sync state, and what was decided about it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.choices import LedgerDirection, ResolutionStrategy, SyncStatus
from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class SyncMetadata(models.Model):
    """One row a record and other system: what the last look found, and the base both sides agreed on.

    `base` maps a mapping's key to {local, remote, item, column, version}: the raw pair that stood on both
    sides when they last agreed, with the identity it belongs to. `held` and `altered` map a key to
    {reason, …}, of a value that a person left in NPD with `left_by` too; `conflicts` lists the fields of open
    conflicts by kind. `seen` maps a key to the raw values that looks read on Monday lately, [[value, when], …],
    newest last: by them an event is told from an edit that nobody saw.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.TextField()
    system = models.CharField(max_length=20, db_default="monday")
    remote_id = models.CharField(max_length=50, null=True, blank=True)
    sync_status = models.CharField(max_length=20, choices=SyncStatus.choices, db_default=SyncStatus.PENDING)
    last_sync_attempt = models.DateTimeField(null=True, blank=True)
    last_successful_sync = models.DateTimeField(null=True, blank=True)
    error_count = models.IntegerField(db_default=0)
    last_error = models.TextField(blank=True, db_default="")
    sync_direction = models.CharField(
        max_length=20, choices=LedgerDirection.choices, db_default=LedgerDirection.BIDIRECTIONAL
    )
    sync_batch_id = models.UUIDField(null=True, blank=True)
    content_hash = models.CharField(max_length=64, blank=True, db_default="")
    conflicts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    resolution_strategy = models.CharField(
        max_length=20, choices=ResolutionStrategy.choices, db_default=ResolutionStrategy.MANUAL
    )
    sync_duration_ms = models.IntegerField(null=True, blank=True)
    api_calls_count = models.IntegerField(db_default=0)
    local_modified = models.DateTimeField(null=True, blank=True)
    remote_modified = models.DateTimeField(null=True, blank=True)
    base: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    held: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    altered: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    note = models.TextField(_("why it is not in sync, in words"), blank=True, db_default="")
    remote_state = models.CharField(max_length=20, blank=True, db_default="")
    gone_since = models.DateTimeField(_("since when its item is known to be gone"), null=True, blank=True)
    gone_looks = models.SmallIntegerField(_("looks in a row that found it so"), db_default=0)
    seen: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    made_from_item = models.BooleanField(_("made from an item, untouched in NPD"), db_default=False)

    class Meta:
        db_table = "sync_metadata"
        verbose_name = _("ledger entry")
        verbose_name_plural = _("ledger")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "system"], name="sync_metadata_one_a_record"
            ),
            models.CheckConstraint(
                condition=models.Q(sync_status__in=SyncStatus.values), name="sync_metadata_status_known"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "whose item is this" when a webhook names an item.
            models.Index(fields=["entity_type", "remote_id"], name="sync_metadata_remote"),
            # Serves "which records have held fields": the first page counts them, its lists show them.
            models.Index(
                fields=["entity_type", "entity_id"],
                condition=~models.Q(held=models.Value({}, models.JSONField())),
                name="sync_metadata_held",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} · {self.sync_status}"


class SyncState(SyncMetadata):
    """The other name under which the ledger is known; for Jira its `remote_id` answers to `jira_id`."""

    class Meta:
        proxy = True
        verbose_name = _("sync state")
        verbose_name_plural = _("sync states")

    @property
    def jira_id(self) -> str | None:
        """The remote id where the other system is Jira."""
        return self.remote_id if self.system == "jira" else None


class Decision(models.Model):
    """One decision on one field or record, with its cause, as a sentence; the record's own log.

    `cause` is what led to it: {rows: queue row ids, causes: their names, events: ids in the inbox, rule}. `values` of
    a move holds {before, after, overridden} as displayed and, to be taken back, {raw_before, raw_after}.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField(null=True, blank=True)
    remote_id = models.CharField(max_length=50, blank=True, db_default="")
    key = models.CharField(_("field"), max_length=100, blank=True, db_default="")
    kind = models.CharField(max_length=30)
    sentence = models.TextField()
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    actor = models.CharField(max_length=200, blank=True, db_default="")
    batch_id = models.UUIDField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    at = models.DateTimeField(db_default=SyncNow())
    cause: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    undoes = models.BigIntegerField(_("the decision that this one takes back"), null=True, blank=True)

    class Meta:
        db_table = "sync_decisions"
        ordering: ClassVar[list[str]] = ["-at", "-id"]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the pruning, oldest first, and "what the last hour moved".
            models.Index(fields=["at"], name="sync_decisions_age"),
            # Serves the undo of a whole batch.
            models.Index(fields=["batch_id"], name="sync_decisions_batch"),
            # Serves the history on a record's page, newest first.
            models.Index(fields=["entity_id", "-at"], name="sync_decisions_of_record"),
        ]

    def __str__(self) -> str:
        return self.sentence
