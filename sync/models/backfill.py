"""A backfill: records put on a board in bulk, resumable at any point of death."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class BackfillState(models.TextChoices):
    """How far a backfill came."""

    STARTED = "started", _("Started: its rows are announced")
    UPLOADED = "uploaded", _("Uploaded: Monday works on it")
    LISTED = "listed", _("Monday is done: items are linked")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class Backfill(models.Model):
    """One bulk import job of Monday's; its rows are open intents that name it.

    Started, without rows: it asks for the board, to announce them. `key` is the idempotency key under which the job
    was started at `job_at`; `put_at` says that the file was about to be sent. The file's address is kept nowhere.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    board_id = models.CharField(max_length=50)
    group_id = models.CharField(max_length=50, blank=True, db_default="")
    job_id = models.CharField(max_length=100, blank=True, db_default="")
    key = models.CharField(_("idempotency key"), max_length=64, blank=True, db_default="")
    job_at = models.DateTimeField(_("job started"), null=True, blank=True)
    put_at = models.DateTimeField(_("file about to be sent"), null=True, blank=True)
    look_at = models.DateTimeField(_("Monday is asked again"), null=True, blank=True)
    polls = models.SmallIntegerField(db_default=0)
    tries = models.SmallIntegerField(_("files refused"), db_default=0)
    state = models.CharField(max_length=20, choices=BackfillState.choices, db_default=BackfillState.STARTED)
    rows = models.IntegerField(db_default=0)
    counts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    problem = models.TextField(blank=True, db_default="")
    started_by = models.CharField(max_length=150, blank=True, db_default="")
    created_at = models.DateTimeField(db_default=SyncNow())
    seen_at = models.DateTimeField(_("last sign of life"), db_default=SyncNow())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_backfills"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["entity_type"],
                condition=~models.Q(state__in=["done", "failed"]),
                name="sync_backfills_one_open_a_board",
            )
        ]

    @property
    def open(self) -> bool:
        """Whether something is left to do for it."""
        return self.state not in (BackfillState.DONE, BackfillState.FAILED)

    def __str__(self) -> str:
        return f"{self.rows} {self.entity_type} records · {self.state}"
