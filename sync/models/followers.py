"""Whoever follows what happens: the feed's events and outgoing webhooks, and the people who are notified."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from sync.clock import SyncNow


class EventType(models.TextChoices):
    RECORD_CREATED = "record.created", "Record created"
    RECORD_CHANGED = "record.changed", "Record changed"
    RECORD_DELETED = "record.deleted", "Record deleted"
    CONFLICT_OPENED = "conflict.opened", "Conflict opened"
    CONFLICT_RESOLVED = "conflict.resolved", "Conflict resolved"
    SYNC_STATE_CHANGED = "sync_state.changed", "Sync state changed"


RARE_TYPES = (EventType.RECORD_DELETED, EventType.CONFLICT_OPENED, EventType.CONFLICT_RESOLVED)
"""Types of which there may be few among many, so that they have an index of their own."""


class FeedEvent(models.Model):
    """One thing that happened, written by a trigger in the transaction in which it did.

    `position` is its place in the feed, given once it is committed: 1, 2, 3, … without a gap. `id` is the order in
    which events were written, in which transactions are not committed. `context_id` is the history's context, which
    says who did it. `data` of a created or deleted record is its columns; of a change and of a sync state
    {column: [before, after]}; of a conflict what it is about. Once a person is erased, it is empty.
    """

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(db_default=RandomUUID(), editable=False)
    position = models.BigIntegerField(null=True, blank=True)
    type = models.CharField(max_length=30, choices=EventType.choices)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    context_id = models.UUIDField(null=True, blank=True)
    data: models.JSONField[Any, Any] = models.JSONField(db_default=models.Value({}, models.JSONField()), blank=True)
    at = models.DateTimeField(db_default=SyncNow())

    class Meta:
        db_table = "sync_events"
        # Who may view a record may read its events.
        default_permissions = ()
        verbose_name = "event"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Serves the feed, however deep.
            models.UniqueConstraint(
                fields=["position"], condition=models.Q(position__isnull=False), name="sync_events_position"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "what has no place yet".
            models.Index(fields=["id"], condition=models.Q(position=None), name="sync_events_unplaced"),
            # Serves the feed of one record, and the erasing of a person.
            models.Index(fields=["entity_id", "position"], name="sync_events_record"),
            models.Index(fields=["type", "position"], condition=models.Q(type__in=RARE_TYPES), name="sync_events_rare"),
            # Serves what was deleted, however deep.
            models.Index(
                fields=["entity_type", "at", "id"],
                condition=models.Q(type=EventType.RECORD_DELETED),
                name="sync_events_deleted",
            ),
            # Serves the retention: nearly nothing to keep, for a table that only grows at its end.
            BrinIndex(fields=["at"], name="sync_events_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.entity_type} {self.entity_id}"


class DisabledCode(models.TextChoices):
    NONE = "", "On"
    PERSON = "person", "Switched off by a person"
    GONE = "gone", "Its server says that it is gone"
    FAILING = "failing", "Every delivery failed for five days"
    OWNER = "owner", "Its owner is gone, or may view nothing any more"


class WebhookEndpoint(models.Model):
    """An address of another system that is told of the events that its owner may read.

    The owner is who made it, or took it over once that one could view nothing any more. `secret` is encrypted; until
    `previous_until` the one before it signs, too. `event_types` empty: all. It has been told, or is about to be told by
    its deliveries, of every event up to `position`. After a failure nothing is sent before `next_attempt`;
    `failing_since` is since when nothing arrived.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)
    address = models.CharField(max_length=2000)
    description = models.CharField(max_length=255, blank=True, default="", db_default="")
    event_types = ArrayField(
        models.CharField(max_length=30, choices=EventType.choices), blank=True, default=list, db_default=[]
    )
    enabled = models.BooleanField("on", default=True, db_default=True)
    disabled_code = models.CharField(
        "why it is off", max_length=20, choices=DisabledCode.choices, blank=True, db_default=DisabledCode.NONE
    )
    disabled_at = models.DateTimeField("off since", null=True, blank=True)
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, db_default="", editable=False)
    previous_until = models.DateTimeField(null=True, blank=True, editable=False)
    position = models.BigIntegerField(db_default=0, editable=False)
    failures = models.IntegerField("failures in succession", db_default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    next_attempt = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=SyncNow(), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        db_table = "sync_webhook_endpoints"
        verbose_name = "webhook endpoint"
        ordering: ClassVar[list[str]] = ["created_at", "id"]

    def __str__(self) -> str:
        return self.description or self.address.partition("://")[2].partition("/")[0]


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Pending"
    IN_PROGRESS = "in_progress", "In progress"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookDelivery(models.Model):
    """One event for one endpoint, or a test (without an event), until it arrived or was given up.

    `attempts` are calls; `counted` those that failed though the endpoint took others. A worker has it until
    `claimed_until`; one that ends before it notes what came of its call leaves it to the next, which sends the same
    `message_id`. `problem` says why the last attempt failed, `excerpt` how the answer began.
    """

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(FeedEvent, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    message_id = models.UUIDField(db_default=RandomUUID(), editable=False)
    state = models.CharField(max_length=20, choices=DeliveryState.choices, db_default=DeliveryState.PENDING)
    attempts = models.IntegerField(db_default=0)
    counted = models.SmallIntegerField("failures of this delivery alone", db_default=0)
    created_at = models.DateTimeField(db_default=SyncNow())
    next_attempt = models.DateTimeField(db_default=SyncNow())
    claimed_until = models.DateTimeField(null=True, blank=True)
    last_attempt = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    status_code = models.SmallIntegerField(null=True, blank=True)
    duration_ms = models.IntegerField("duration (ms)", null=True, blank=True)
    problem = models.TextField(blank=True, db_default="")
    excerpt = models.CharField("how the answer began", max_length=500, blank=True, db_default="")

    class Meta:
        db_table = "sync_webhook_deliveries"
        # `change` is the right to send one again.
        default_permissions = ("view", "change")
        verbose_name = "webhook delivery"
        verbose_name_plural = "webhook deliveries"
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["endpoint", "event"], name="sync_webhook_deliveries_once")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves the claim.
            models.Index(
                fields=["endpoint", "next_attempt"],
                condition=models.Q(state__in=["pending", "in_progress"]),
                name="sync_webhook_deliveries_due",
            ),
            # Serves the log of one endpoint, newest first.
            models.Index(fields=["endpoint", "-id"], name="sync_webhook_deliveries_log"),
        ]

    def __str__(self) -> str:
        return f"{self.event.type if self.event else 'test'} to {self.endpoint}"


# People: what needed attention since when, whom this installation notifies of it, and who has been notified of what.


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
