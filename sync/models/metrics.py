"""What only grows: counts for `/metrics` that all processes on all machines share; and latencies hour by hour."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class MetricCount(models.Model):
    """One number of one metric; `bucket` is a histogram's upper bound in seconds, "sum", or empty for a counter.

    A board's rows are written under its lease only, so no two workers wait for each other.
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


class LatencyHour(models.Model):
    """How many changes that arrived in one hour were on their way for about so long: one row a step of the scale.

    `bucket` is a step of sync/metrics/scale.py. Written under the board's lease, as the sums above are.
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
        return (
            f"{self.hour:%Y-%m-%d %H} {self.entity_type} {self.direction}, step {self.bucket}: {self.changes}"
        )
