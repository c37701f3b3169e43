"""What the guard holds: deletes and emptied fields that are too many to be meant."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.choices import GuardKind, GuardState
from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class GuardedAct(models.Model):
    """One delete or clear: done, or held until a person approves it or its cause is gone.

    What was done counts toward the limit for an hour; what is held counts as long as it is held.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    remote_id = models.CharField(max_length=50, blank=True, db_default="")
    kind = models.CharField(max_length=20, choices=GuardKind.choices)
    key = models.CharField(_("field"), max_length=100, blank=True, db_default="")
    state = models.CharField(max_length=20, choices=GuardState.choices)
    label = models.TextField(_("what would be deleted or emptied"), blank=True, db_default="")
    values: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    at = models.DateTimeField(db_default=SyncNow())
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "sync_guarded_acts"
        verbose_name = _("delete or emptied field")
        verbose_name_plural = _("deletes and emptied fields")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "kind", "key"],
                condition=models.Q(state__in=["held", "approved", "rejected"]),
                name="sync_guarded_acts_one_open",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "how many of this kind within the hour" and the page of what waits for approval.
            models.Index(fields=["entity_type", "kind", "state", "at"], name="sync_guarded_acts_count")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.label} · {self.get_state_display()}"
