"""Entries that need a person's attention, kept by triggers (sync/attention), and notifications about them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from sync.clock import SyncNow
from sync.kernel.db import EMPTY_OBJECT
from sync.words.message import JSONWithMessages, MessageField


class AttentionKind(models.TextChoices):
    """The kinds of entries, the gravest first."""

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
    """An entry that waits for a person: about a record, an unmatched item, a board or the account."""

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=AttentionKind.choices)
    # The key in its source table: of a job, a conflict, a record's field. With the kind it identifies the entry.
    source = models.CharField(max_length=200)
    # Entries with the same cause form a group.
    cause = models.CharField(max_length=200)
    # The cause within the kind, a key of `CAUSES` (sync/attention/cause_table.py), where its words and acts are.
    code = models.CharField(max_length=30, blank=True, db_default="")
    # Empty for entries about the account or a person's notifications.
    entity_type = models.CharField("type of record", max_length=50, blank=True, db_default="")
    entity_id = models.UUIDField("NPD ID", null=True, blank=True)
    item_id = models.CharField("Monday item", max_length=50, blank=True, db_default="")
    # The field; for a conflict all of them, separated by commas.
    field = models.TextField(blank=True, db_default="")
    # The person who removed an item, and the act: removals with short pauses are one.
    actor = models.CharField(max_length=200, blank=True, db_default="")
    act = models.CharField(max_length=20, blank=True, db_default="")
    since = models.DateTimeField(db_default=SyncNow())
    # When it stops needing attention; NULL: when its source changes.
    until = models.DateTimeField(null=True, blank=True)
    # What its sentences and acts need, as definitions.py builds it for the kind.
    values: models.JSONField[Any, Any] = JSONWithMessages(db_default=EMPTY_OBJECT, blank=True)

    class Meta:
        db_table = "sync_attention"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["kind", "source"], name="sync_attention_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the groups, and a page of one of them.
            models.Index(fields=["cause", "since", "id"], name="sync_attention_of_cause"),
            # Serves "why does this record wait", and the refresh of its entries.
            models.Index(fields=["entity_id"], name="sync_attention_of_record"),
            # Serves the refresh of entries without a record.
            models.Index(
                fields=["entity_type", "item_id"], condition=models.Q(entity_id=None), name="sync_attention_of_item"
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.source}"


# When daily messages are sent, in UTC.
DAILY_HOUR = 8


class Frequency(models.TextChoices):
    OFF = "off", "Off"
    AT_ONCE = "at_once", "At once"
    # Part of the migration, so no setting may change it.
    DAILY = "daily", f"Once a day, at {DAILY_HOUR:02d}:00 UTC"


class NotificationReceiver(models.Model):
    """A person, notified by email, or a chat of the site."""

    id = models.BigAutoField(primary_key=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    # The chat's name, and its encrypted address, which lets anyone post there.
    name = models.CharField(max_length=60, blank=True, db_default="")
    address = models.TextField(blank=True, db_default="")
    frequency = models.CharField(max_length=10, choices=Frequency.choices, db_default=Frequency.OFF)
    # No message is sent before: one was just sent, an attempt failed, or the daily hour hasn't come.
    due_at = models.DateTimeField(db_default=SyncNow())
    last_sent = models.DateTimeField(null=True, blank=True)
    failures = models.SmallIntegerField("failures in a row", db_default=0)
    failed_since = models.DateTimeField("failing since", null=True, blank=True)
    problem = MessageField(blank=True, db_default="")

    class Meta:
        db_table = "sync_notification_receivers"
        # Everybody manages their own; superusers manage the chats.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(user__isnull=False, address="") | (models.Q(user=None) & ~models.Q(address="")),
                name="sync_notification_receivers_person_or_chat",
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.user)


class Notification(models.Model):
    """A receiver was notified of an entry: once, until it is over, which the database ensures."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.ForeignKey(NotificationReceiver, on_delete=models.CASCADE, related_name="+")
    # The key in `entries_to_notify_of`.
    key = models.CharField(max_length=200)
    # When it was over; if it comes back soon, it counts as the same.
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_notifications"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["receiver", "key"], name="sync_notifications_once")
        ]

    def __str__(self) -> str:
        return f"{self.receiver_id} was notified of {self.key}"
