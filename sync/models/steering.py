"""What a person has paused: everything, one board, one direction, or one direction of one board."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sync.choices import QueueDirection
from sync.clock import SyncNow


class QueuePause(models.Model):
    """A pause until somebody resumes it; an empty `entity_type` means every board, an empty `direction` both."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(_("board"), max_length=50, blank=True, db_default="")
    direction = models.CharField(max_length=20, choices=QueueDirection.choices, blank=True, db_default="")
    paused_by = models.CharField(_("by"), max_length=150)
    why = models.TextField(blank=True, db_default="")
    paused_at = models.DateTimeField(_("since"), db_default=SyncNow())

    class Meta:
        db_table = "sync_queue_pauses"
        verbose_name = _("pause")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Who pauses what is paused already changes nothing: the first one's name and time stand.
            models.UniqueConstraint(
                fields=["entity_type", "direction"], name="sync_queue_pauses_one_of_a_kind"
            ),
            models.CheckConstraint(
                condition=Q(direction__in=["", *QueueDirection.values]),
                name="sync_queue_pauses_direction_known",
            ),
        ]

    def __str__(self) -> str:
        return f"pause of {self.entity_type or 'every board'}, {self.direction or 'both directions'}"
