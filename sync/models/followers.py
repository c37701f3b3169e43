"""People: what needed attention since when, who is notified of it how, and who was."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from sync.clock import SyncNow


class Medium(models.TextChoices):
    EMAIL = "email", "Email"
    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"


class Frequency(models.TextChoices):
    """How often somebody is notified; what is urgent comes at once unless it is off."""

    OFF = "off", "Off"
    AT_ONCE = "at_once", "At once"
    HOURLY = "hourly", "Every hour"
    DAILY = "daily", "Once a day"


class Alarm(models.TextChoices):
    """What somebody was notified of since the last all clear."""

    NONE = "", "Nothing"
    ROUTINE = "routine", "Something"
    URGENT = "urgent", "Something urgent"


class Incident(models.Model):
    """Something that needs attention, from when it was noticed until it was gone.

    `key` says what it is and stays the same while the same thing is wrong; `cause_code` and `cause` say why. Of a kind
    of which there are too many, `number` is how many one incident stands for; those of it that are noticed one by one
    later are `summed`, and nobody is notified of them again.
    """

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=200)
    kind = models.CharField(max_length=30)
    entity_type = models.CharField(max_length=50, blank=True, db_default="")
    name = models.CharField(max_length=255, blank=True, db_default="")
    cause_code = models.CharField(max_length=200, blank=True, db_default="")
    cause = models.TextField(blank=True, db_default="")
    url = models.CharField(max_length=500, blank=True, db_default="")
    number = models.IntegerField(db_default=1)
    summed = models.BooleanField(db_default=False)
    noticed_at = models.DateTimeField(db_default=SyncNow())
    gone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_incidents"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The same thing is noticed once; serves "what is open", too.
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(gone_at=None), name="sync_incidents_one_open_a_key"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "what ended lately", and the retention.
            models.Index(fields=["gone_at"], condition=models.Q(gone_at__isnull=False), name="sync_incidents_gone")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.entity_type}".strip()


class NotificationReceiver(models.Model):
    """One way to notify one person: how often, and what came of it.

    `address` is a chat's webhook address, encrypted (an email goes to the account's own address). `chosen_at` is
    since when the frequency is as it is. `alarm` and `alarmed_at` are of the last message with news. After failures
    the next attempt is at `next_attempt`; `stopped_at` is when NPD Sync gave no further attempt. A worker has it until
    `claimed_until`.
    """

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    medium = models.CharField(max_length=10, choices=Medium.choices)
    frequency = models.CharField(max_length=10, choices=Frequency.choices, db_default=Frequency.OFF)
    hour = models.SmallIntegerField("hour of the daily message", db_default=8)
    zone = models.CharField("time zone", max_length=64, db_default="UTC")
    address = models.TextField(blank=True, db_default="")
    chosen_at = models.DateTimeField(db_default=SyncNow())
    alarm = models.CharField(max_length=10, choices=Alarm.choices, blank=True, db_default=Alarm.NONE)
    alarmed_at = models.DateTimeField(null=True, blank=True)
    last_sent = models.DateTimeField(null=True, blank=True)
    tested_at = models.DateTimeField("last test", null=True, blank=True)
    failures = models.SmallIntegerField("failures in a row", db_default=0)
    failed_since = models.DateTimeField("failing since", null=True, blank=True)
    problem = models.TextField(blank=True, db_default="")
    next_attempt = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField("switched off", null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_notification_receivers"
        # Everybody has their own, at one page; who may view sees how all of them fare.
        default_permissions = ("view",)
        verbose_name = "notification receiver"
        verbose_name_plural = "notification receivers"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["user", "medium"], name="sync_notification_receivers_one_a_medium"),
            models.CheckConstraint(
                condition=models.Q(hour__gte=0, hour__lte=23), name="sync_notification_receivers_hour"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_medium_display()}"


class Notification(models.Model):
    """That a receiver was notified of an incident: once, which the database holds."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.ForeignKey(NotificationReceiver, on_delete=models.CASCADE, related_name="notifications")
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="+")
    sent_at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_notifications"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["receiver", "incident"], name="sync_notifications_once")
        ]

    def __str__(self) -> str:
        return f"{self.receiver_id} was notified of {self.incident_id}"
