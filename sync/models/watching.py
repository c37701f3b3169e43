"""What is watched over time: fields that are rewritten again and again, and samples of what says `synced`."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.clock import SyncNow

NOTHING = models.Value([], models.JSONField())


class FieldLoop(models.Model):
    """A field that somebody on Monday rewrites after each of our writes; until `damped_until` we don't answer.

    `times` has, for each of our writes of the last hour that was rewritten, {at, write: the intent's id}.
    """

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    entity_id = models.UUIDField()
    key = models.CharField(_("field"), max_length=100)
    times: models.JSONField[Any, Any] = models.JSONField(_("when it was rewritten"), db_default=NOTHING)
    by = models.CharField(_("who rewrites it"), max_length=200, blank=True, db_default="")
    damped_until = models.DateTimeField(null=True, blank=True)
    damped = models.SmallIntegerField(_("how often it was damped in a row"), db_default=0)

    class Meta:
        db_table = "sync_field_loops"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type", "entity_id", "key"], name="sync_field_loops_one_a_field"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.entity_id} {self.key}"


class SyncAudit(models.Model):
    """A sample of records that say `synced`, read again on both sides: how many differed, which must be none."""

    id = models.BigAutoField(primary_key=True)
    entity_type = models.CharField(max_length=50)
    at = models.DateTimeField(db_default=SyncNow())
    sampled = models.IntegerField()
    drifted = models.IntegerField(db_default=0)
    calls = models.SmallIntegerField(db_default=0)
    details: models.JSONField[Any, Any] = models.JSONField(
        _("which fields of which records"), db_default=NOTHING
    )

    class Meta:
        db_table = "sync_audits"
        verbose_name = _("sample of synced records")
        verbose_name_plural = _("samples of synced records")
        indexes: ClassVar[list[models.Index]] = [
            # Serves "when was this board last verified".
            models.Index(fields=["entity_type", "-at"], name="sync_audits_latest")
        ]

    def __str__(self) -> str:
        return f"{self.entity_type}: {self.drifted} of {self.sampled} differed"
