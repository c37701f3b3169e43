"""What is sent to Monday, and the changes that Monday reports; closed rows are kept for JOURNAL_DAYS."""

from __future__ import annotations

import uuid
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT
from sync.monday.board_events import ITEM_NAME_PATHS, InvalidEvent, ItemEvent, parse_event


class IntentState(models.TextChoices):
    OPEN = "open", "Not confirmed yet"
    APPLIED = "applied", "Done"
    CONFIRMED = "confirmed", "Done, confirmed afterwards"
    REJECTED = "rejected", "Not written"
    VOID = "void", "Had no effect"


class Intent(models.Model):
    """A write of one item, committed before its call is sent; a call may write many items."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField("type of record", max_length=50)
    entity_id = models.UUIDField("NPD ID")
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, blank=True, db_default="")
    idempotency_key = models.CharField(max_length=64)  # of the call
    alias = models.CharField("name in the request", max_length=20, blank=True, db_default="")
    # By a mapping's key: the value sent (`local`), Monday's before (`read`, `read_at`), the `base`, the mapping's
    # `column` and `version`, and whether the value unites both sides' lists (`united`).
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY_OBJECT)
    # Of the first intent of a create call: its document with its variables, which may be sent again under the same key.
    # Of the removal of an item: the policy, as {removes}.
    body: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    state = models.CharField(max_length=20, choices=IntentState.choices, db_default=IntentState.OPEN)
    created_at = models.DateTimeField(db_default=SyncNow())
    deadline = models.DateTimeField()
    # Of an unanswered create.
    was_searched = models.BooleanField("searched for in vain", db_default=False)
    # The values in Monday's answer, by a mapping's key.
    answer: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=100, blank=True, db_default="")
    settled_at = models.DateTimeField("done at", null=True, blank=True)

    class Meta:
        db_table = "sync_intents"
        default_permissions = ()
        verbose_name = "API write"
        verbose_name_plural = "API writes"
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim, which skips records with an open intent before its deadline.
            models.Index(fields=["entity_id", "deadline"], condition=models.Q(state="open"), name="sync_intents_open"),
            models.Index(fields=["idempotency_key"], name="sync_intents_document"),
            models.Index(fields=["created_at"], name="sync_intents_age"),
            # Serves "our recent writes to this record", for the detection of lost updates.
            models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record"),
        ]

    def __str__(self) -> str:
        return f"{'Update' if self.item_id else 'Creation'} of a {self.entity_type}: {self.get_state_display()}"


def event_item_name() -> Coalesce:
    """Return the expression for the item's name in a delivery, null without one."""
    return Coalesce(*(KT("__".join(("body", *path))) for path in ITEM_NAME_PATHS))


class WebhookEvent(models.Model):
    """A change as Monday delivered it, or as a sweep found it; stored once, processed under the board's lease."""

    id = models.BigAutoField(primary_key=True)
    # Monday's id, or a hash of a body without one. A sweep's rows have `log:` and the entry's id.
    trigger_id = models.CharField(max_length=64)
    board_id = models.CharField(max_length=50)
    item_id = models.CharField(max_length=50, null=True, blank=True)
    column_id = models.CharField(max_length=50, null=True, blank=True)
    type = models.CharField(max_length=50)
    body: models.JSONField[Any, Any] = models.JSONField()
    received_at = models.DateTimeField(db_default=SyncNow())
    processed_at = models.DateTimeField(null=True, blank=True)
    # Why it led to nothing, or what a pass did with it; empty before.
    outcome = models.CharField(max_length=200, blank=True, db_default="")

    class Meta:
        db_table = "sync_webhook_events"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["trigger_id", "item_id", "column_id", "type"],
                nulls_distinct=False,
                name="sync_webhook_events_once",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the processing of all unprocessed events of an item together.
            models.Index(
                fields=["board_id", "item_id"], condition=models.Q(processed_at=None), name="sync_webhook_events_new"
            ),
            # Serves "when did this item last change", for the quiet time of a new item.
            models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
            # Serves "when did the board's last webhook arrive" on Home.
            models.Index(fields=["board_id", "-received_at"], name="sync_webhook_events_board"),
        ]

    def __str__(self) -> str:
        return f"Webhook {self.pk} about item {self.item_id}"

    @cached_property
    def event(self) -> ItemEvent | None:
        """The delivery's event, or None if it can't be parsed."""
        with suppress(InvalidEvent):
            return parse_event(self.body)
        return None

    @property
    def user_id(self) -> str:
        """The id of Monday's user, or an empty text if the delivery has none."""
        return (self.event and self.event.user_id) or ""

    @property
    def happened_at(self) -> datetime:
        """When it happened on Monday, or when it arrived if the delivery has no time."""
        return (self.event and self.event.happened_at) or self.received_at
