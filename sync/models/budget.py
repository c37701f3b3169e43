"""The API allowance that all workers share: one budget row, the calls in the air, and what was spent when."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.clock import SyncNow


class ApiBudget(models.Model):
    """What may be spent and what was, for the account: one row, changed in one short transaction a call.

    A limit that is null is not known, and none is kept. `day_calls` counts this installation's calls of the UTC
    day `day`, `others_calls` what the account's other tokens had spent of it at `reported_at`.
    """

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    day_limit = models.IntegerField(null=True, blank=True)
    minute_limit = models.IntegerField(null=True, blank=True)
    points_limit = models.BigIntegerField(null=True, blank=True)
    concurrency_limit = models.IntegerField(null=True, blank=True)
    minute_ends = models.DateTimeField(null=True, blank=True)
    minute_calls = models.IntegerField(db_default=0)
    points_end = models.DateTimeField(null=True, blank=True)
    points = models.BigIntegerField(_("complexity points spent in the window"), db_default=0)
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
    """Calls that a look was allowed and may have in the air; it ends by itself at `expires`."""

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
    """What was spent in one minute on one board (an empty type: on none), for the forecast and for pacing."""

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
