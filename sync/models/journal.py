"""What must be known after a crash: intents, webhook deliveries, tombstones, refused items."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.choices import TombstoneState
from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class IntentState(models.TextChoices):
    """What is known of a mutation."""

    OPEN = "open", _("Outcome not known yet")
    APPLIED = "applied", _("Answered: it took effect")
    LANDED = "landed", _("Found on Monday afterwards")
    REFUSED = "refused", _("Monday refused it")
    VOID = "void", _("It did not take effect")


class Intent(models.Model):
    """What a mutation is about to do, committed before it is sent.

    `values` maps a mapping's key to {read, sent, local, base, column, version}, `answer` to the raw value that
    Monday's answer showed. Of a create, `body` is the whole document with its variables, to be sent again under the
    same `idempotency_key`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, blank=True, db_default="")
    lease_token = models.UUIDField()
    idempotency_key = models.CharField(max_length=64)
    alias = models.CharField(_("alias in the document"), max_length=20, blank=True, db_default="")
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    body: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=IntentState.choices, db_default=IntentState.OPEN)
    created_at = models.DateTimeField(db_default=SyncNow())
    deadline = models.DateTimeField()
    looks = models.SmallIntegerField(_("looked for since"), db_default=0)
    answer: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    backfill = models.ForeignKey(
        "sync.Backfill", null=True, blank=True, on_delete=models.CASCADE, related_name="intents"
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_intents"
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, which passes over records with an open intent before its deadline.
            models.Index(
                fields=["entity_id", "deadline"], condition=models.Q(state="open"), name="sync_intents_open"
            ),
            models.Index(fields=["idempotency_key"], name="sync_intents_document"),
            models.Index(fields=["created_at"], name="sync_intents_age"),
            # Serves "what did we write to this record lately", which weighing asks of every event.
            models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record"),
        ]

    def __str__(self) -> str:
        return f"{'update' if self.item_id else 'create'} {self.entity_type} {self.entity_id} · {self.state}"


class WebhookEvent(models.Model):
    """A delivery as received; deduplicated by what names it, weighed under the board's lease."""

    id = models.BigAutoField(primary_key=True)
    trigger_id = models.CharField(max_length=64)
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, null=True, blank=True)
    column_id = models.CharField(max_length=50, null=True, blank=True)
    type = models.CharField(max_length=50)
    body: models.JSONField[Any, Any] = models.JSONField()
    received_at = models.DateTimeField(db_default=SyncNow())
    weighed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        db_table = "sync_webhook_events"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["trigger_id", "item_id", "column_id", "type"],
                nulls_distinct=False,
                name="sync_webhook_events_once",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the weighing of all unweighed events of an item together.
            models.Index(
                fields=["board_id", "item_id"],
                condition=models.Q(weighed_at=None),
                name="sync_webhook_events_new",
            ),
            # Serves "when was this item last touched", which a new item's quiet time asks.
            models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
        ]

    def __str__(self) -> str:
        return f"{self.type} of item {self.item_id} · {self.outcome or 'not weighed'}"


class Tombstone(models.Model):
    """What a deleted record was, so that its item makes no new record by itself. Written by a trigger."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    monday_id = models.CharField(max_length=50, null=True, blank=True)
    data: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY)
    deleted_at = models.DateTimeField(db_default=SyncNow())
    note = models.TextField(blank=True, db_default="")
    state = models.CharField(max_length=20, choices=TombstoneState.choices, db_default=TombstoneState.WAITING)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_tombstones"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "entity_id"], name="sync_tombstones_one_a_record")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["entity_type", "monday_id"], name="sync_tombstones_item")
        ]

    def __str__(self) -> str:
        return f"deleted {self.entity_type} {self.data.get('name', self.entity_id)}"


class RefusedItem(models.Model):
    """An item that is not to become a record, with the reason; remembered so that it isn't asked again."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50)
    reason = models.TextField()
    let_go = models.BooleanField(_("unlinked by a policy or a person"), db_default=False)
    entity_id = models.UUIDField(
        _("the record that it was let go of, or is not the same as"), null=True, blank=True
    )
    at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_refused_items"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["entity_type", "item_id"], name="sync_refused_items_once")
        ]

    def __str__(self) -> str:
        return f"item {self.item_id}: {self.reason}"
