"""What waits for a person, one row for each thing, kept by triggers (sync/attention), and who is told of it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from knox.models import AuthToken

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


class Frequency(models.TextChoices):
    OFF = "off", "Off"
    AT_ONCE = "at_once", "At once"
    DAILY = "daily", "Once a day"


class NotificationReceiver(models.Model):
    """A person, who is notified by email, or a chat of the site."""

    id = models.BigAutoField(primary_key=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    # What the administrators call the chat, and its address, encrypted: whoever has it can write there.
    name = models.CharField(max_length=60, blank=True, db_default="")
    address = models.TextField(blank=True, db_default="")
    frequency = models.CharField(max_length=10, choices=Frequency.choices, db_default=Frequency.OFF)
    # Nothing is sent before: a message is on its way or was sent just now, an attempt failed, or the hour hasn't come.
    due_at = models.DateTimeField(db_default=SyncNow())
    last_sent = models.DateTimeField(null=True, blank=True)
    failures = models.SmallIntegerField("failures in a row", db_default=0)
    failed_since = models.DateTimeField("failing since", null=True, blank=True)
    problem = models.TextField(blank=True, db_default="")

    class Meta:
        db_table = "sync_notification_receivers"
        # Everybody has their own, on one page; the chats are the superusers'.
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
    """That a receiver was notified of something: once, which the database holds, until it is over."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.ForeignKey(NotificationReceiver, on_delete=models.CASCADE, related_name="+")
    # What it is about, as `things_to_notify_of` calls it.
    key = models.CharField(max_length=200)
    sent_at = models.DateTimeField(db_default=SyncNow())
    # Since when it is over; what comes back soon is the same thing.
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_notifications"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["receiver", "key"], name="sync_notifications_once")
        ]

    def __str__(self) -> str:
        return f"{self.receiver_id} was notified of {self.key}"


class ApiToken(AuthToken):  # type: ignore[misc]  # knox has no types
    """A token of knox, whose table holds a hash of it; by the words of our pages."""

    class Meta:
        proxy = True
        verbose_name = "API token"
        # Everybody manages their own, administrators see all: no permission decides that.
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.token_key}…"


class CacheEntry(models.Model):
    """The table of Django's cache in the database (settings.CACHES)."""

    cache_key = models.CharField(primary_key=True, max_length=255)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "sync_cache"
        default_permissions = ()

    def __str__(self) -> str:
        return self.cache_key
