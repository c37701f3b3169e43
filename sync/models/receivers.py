"""Who is served beside the pages: the receivers of notifications, and programs by their tokens."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from knox.models import AuthToken

from sync.clock import SyncNow


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
