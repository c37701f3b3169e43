"""The API quota that all workers share, and the counters of all processes."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from sync.clock import SyncNow


class ApiBudget(models.Model):
    """What the account may spend and has spent: one row, changed in one short transaction for each call.

    A limit that is null is not known, and not enforced. `day_calls` counts this installation's calls of the
    UTC day `day`, `others_calls` what the account's other tokens had spent of it at `reported_at`.
    """

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    day_limit = models.IntegerField(null=True, blank=True)
    minute_limit = models.IntegerField(null=True, blank=True)
    points_limit = models.BigIntegerField(null=True, blank=True)
    concurrency_limit = models.IntegerField(null=True, blank=True)
    minute_ends = models.DateTimeField(null=True, blank=True)
    minute_calls = models.IntegerField(db_default=0)
    points_end = models.DateTimeField(null=True, blank=True)
    points = models.BigIntegerField("complexity points spent in the window", db_default=0)
    day = models.DateField(null=True, blank=True)
    day_calls = models.DecimalField(max_digits=10, decimal_places=1, db_default=0)
    others_calls = models.DecimalField(max_digits=10, decimal_places=1, db_default=0)
    reported_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_api_budget"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(id=1), name="sync_api_budget_one_row")
        ]

    def __str__(self) -> str:
        return f"{self.day_calls} of {self.day_limit or 'unknown'} calls today"


class ApiReservation(models.Model):
    """Calls that a pass was granted and may have in flight; it ends by itself at `expires`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50, blank=True, db_default="")
    calls = models.SmallIntegerField()
    points = models.BigIntegerField()
    expires = models.DateTimeField()

    class Meta:
        db_table = "sync_api_reservations"

    def __str__(self) -> str:
        return f"{self.calls} calls, {self.points} points"


class ApiUsage(models.Model):
    """What was spent in one minute on one board (empty type: on none), for the forecast and for pacing."""

    id = models.BigAutoField(primary_key=True)
    slot = models.DateTimeField(db_default=SyncNow())
    entity_type = models.CharField(max_length=50, blank=True, db_default="")
    calls = models.DecimalField(max_digits=10, decimal_places=1, db_default=0)
    looks = models.IntegerField(db_default=0)
    points = models.BigIntegerField(db_default=0)
    rejections = models.IntegerField(db_default=0)

    class Meta:
        db_table = "sync_api_usage"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["slot", "entity_type"], name="sync_api_usage_one_a_slot")
        ]

    def __str__(self) -> str:
        return f"{self.slot:%Y-%m-%d %H:%M} {self.entity_type} {self.calls} calls"


# Counters for `/metrics` that all processes on all machines share; and latencies by hour.


class MetricCount(models.Model):
    """One number of one metric; `bucket` is a histogram's upper bound in seconds, "sum", or empty.

    A board's rows are written under its lease only, so that workers never wait for each other.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=80)
    entity_type = models.CharField(max_length=50, blank=True, db_default="")
    label = models.CharField(max_length=80, blank=True, db_default="")
    bucket = models.CharField(max_length=20, blank=True, db_default="")
    value = models.FloatField(db_default=0.0)

    class Meta:
        db_table = "sync_metric_counts"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The target of the upsert that adds to it.
            models.UniqueConstraint(
                fields=["name", "entity_type", "label", "bucket"], name="sync_metric_counts_one_a_series"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.entity_type} {self.label} {self.bucket}: {self.value}"


class HourCount(models.Model):
    """What happened in one hour, for the charts of the first page: failures, and API calls as the quota counts them.

    `name` is a metric of sync/kernel/counters.py, or `quota_calls`. Added to in the statements that add to the sums.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField()
    name = models.CharField(max_length=80)
    entity_type = models.CharField(max_length=50, blank=True, db_default="")
    value = models.FloatField()

    class Meta:
        db_table = "sync_hour_counts"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The target of the upsert that adds to it; its first column serves a chart's time.
            models.UniqueConstraint(fields=["hour", "name", "entity_type"], name="sync_hour_counts_one_an_hour")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.name} {self.entity_type}: {self.value}"


class LatencyHour(models.Model):
    """How many changes of one hour were on their way for about so long; one row for each step of the scale.

    `bucket` is a step of sync/kernel/counters.py. Written under the board's lease, as the sums above are.
    """

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField()
    entity_type = models.CharField(max_length=50)
    direction = models.CharField(max_length=20)
    bucket = models.SmallIntegerField()
    changes = models.IntegerField()

    class Meta:
        db_table = "sync_latency_hours"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # The target of the upsert that adds to it; its first column serves "the last 24 hours".
            models.UniqueConstraint(
                fields=["hour", "entity_type", "direction", "bucket"], name="sync_latency_hours_one_a_step"
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H} {self.entity_type} {self.direction}, step {self.bucket}: {self.changes}"
