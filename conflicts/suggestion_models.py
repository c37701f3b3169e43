"""A suggested rule that somebody has put aside."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from sync.clock import SyncNow


class DismissedSuggestion(models.Model):
    """Of this field only decisions after `at` suggest a rule: what was decided before was looked at and put aside."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    key = models.CharField("field", max_length=100)
    at = models.DateTimeField(db_default=SyncNow())
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        db_table = "sync_suggestions_dismissed"
        # Who may change a field's rule may put its suggestion aside.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # Serves the join of decisions with what was put aside, too.
            models.UniqueConstraint(
                fields=["entity_type", "key"], name="sync_suggestions_dismissed_one_a_field"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} · {self.key}"
