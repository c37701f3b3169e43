"""Work that outlives a process: a backfill, resumable wherever it was killed, the draft of a set-up, an export."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from sync.choices import RULES, Rule
from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())


class BackfillState(models.TextChoices):
    """How far a backfill is."""

    STARTED = "started", "Started: its rows are announced"
    UPLOADED = "uploaded", "Uploaded: Monday works on it"
    LISTED = "listed", "Monday is done: items are linked"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class Backfill(models.Model):
    """One bulk import job of Monday's; its rows are open intents that refer to it.

    A started one without rows has yet to read the board and write the intents. `key` is the idempotency key
    under which the job was started at `job_at`; `put_at` says that the file was about to be sent. The file's
    address is not stored.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    board_id = models.CharField(max_length=50)
    group_id = models.CharField(max_length=50, blank=True, db_default="")
    job_id = models.CharField(max_length=100, blank=True, db_default="")
    key = models.CharField("idempotency key", max_length=64, blank=True, db_default="")
    job_at = models.DateTimeField("job started", null=True, blank=True)
    put_at = models.DateTimeField("file about to be sent", null=True, blank=True)
    look_at = models.DateTimeField("Monday is asked again", null=True, blank=True)
    polls = models.SmallIntegerField(db_default=0)
    tries = models.SmallIntegerField("files rejected", db_default=0)
    state = models.CharField(max_length=20, choices=BackfillState.choices, db_default=BackfillState.STARTED)
    rows = models.IntegerField(db_default=0)
    counts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    problem = models.TextField(blank=True, db_default="")
    started_by = models.CharField(max_length=150, blank=True, db_default="")
    created_at = models.DateTimeField(db_default=SyncNow())
    seen_at = models.DateTimeField("last sign of life", db_default=SyncNow())
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
        """Whether there is still something to do for it."""
        return self.state not in (BackfillState.DONE, BackfillState.FAILED)

    def __str__(self) -> str:
        return f"{self.rows} {self.entity_type} records · {self.state}"


# A set-up that a person prepares in the wizard: one for each type of records, applied only when confirmed.


class SetupState(models.TextChoices):
    """How far a set-up is."""

    DRAFT = "drawn", "Draft"
    COMPARING = "comparing", "Both sides are being compared"
    COMPARED = "compared", "Ready to confirm"
    RUNNING = "running", "Being applied"
    DONE = "done", "Applied"


class SetupDraft(models.Model):
    """What is to be set up for one type of records.

    Without `board_id` a board is created. `columns` is the board as last read: {id: {title, type, settings,
    samples}}; `fields` the person's choices, {key: {column, direction, rule}}, where the column is an id,
    empty, or MAKE for one to be created. `answers` say which item belongs to a record with a name like an
    item's: the item's id, NEW or OUT. `sync_filter` says which records and items are synced, `groups` names the board's
    groups by id. `found` is the result of the comparison, `outcome` that of the run.
    Only its `owner` changes it; another person takes it over first. A worker has it by `token` until `held_until`.
    """

    entity_type = models.CharField(max_length=50, primary_key=True)
    state = models.CharField(max_length=20, choices=SetupState.choices, db_default=SetupState.DRAFT)
    board_id = models.CharField(max_length=50, blank=True, db_default="")
    board_name = models.CharField(max_length=255, blank=True, db_default="")
    columns: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    fields: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    mapped = models.BooleanField("the fields were chosen by a person", db_default=False)
    threshold = models.SmallIntegerField("how alike two names must be, in per cent", db_default=88)
    first_match = models.CharField(max_length=20, choices=RULES, db_default=Rule.ASK.value)
    creates_records = models.BooleanField(db_default=False)
    sync_filter: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    groups: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    answers: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    found: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    found_at = models.DateTimeField(null=True, blank=True)
    outcome: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    progress = models.CharField(max_length=255, blank=True, db_default="")
    problem = models.TextField(blank=True, db_default="")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    owned_at = models.DateTimeField(db_default=SyncNow())
    changed_at = models.DateTimeField(db_default=SyncNow())
    token = models.UUIDField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sync_setup_drafts"
        # Whoever may change boards and their mappings may set up.
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # One board serves one type, in drafts as in board links.
            models.UniqueConstraint(
                fields=["board_id"], condition=~models.Q(board_id=""), name="sync_setup_drafts_one_type_a_board"
            )
        ]

    def __str__(self) -> str:
        return f"set-up of {self.entity_type}"


# A list as a file, where it is too large to be made while a person waits.


class ExportFormat(models.TextChoices):
    """What an export is written as."""

    CSV = "csv", "CSV"
    XLSX = "xlsx", "Excel (XLSX)"


class ExportState(models.TextChoices):
    """How far an export is."""

    WAITING = "waiting", "Waits for a worker"
    WRITING = "writing", "Being written"
    DONE = "done", "Ready"
    FAILED = "failed", "Failed"


class Export(models.Model):
    """A list under its filters, to be written as a file that its owner alone may download.

    `model` is the label of the list's model, `query` the list's address after the question mark: of the admin's list,
    or of the API's. A worker that
    writes it counts the attempt first and moves `moved_at` on; `problem` says why the last attempt failed.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    model = models.CharField(max_length=100)
    query = models.TextField(blank=True, db_default="")
    by_api = models.BooleanField("its filters are those of the API's list", db_default=False)
    file_format = models.CharField(max_length=10, choices=ExportFormat.choices)
    file_name = models.CharField(max_length=100)
    state = models.CharField(max_length=20, choices=ExportState.choices, db_default=ExportState.WAITING)
    attempts = models.SmallIntegerField("how often writing it was begun", db_default=0)
    total = models.IntegerField("rows when it was asked for", db_default=0)
    rows = models.IntegerField("rows written", db_default=0)
    size = models.BigIntegerField("bytes", db_default=0)
    problem = models.TextField(blank=True, db_default="")
    # Of other types it names nothing, so whoever may view these may have the file.
    shown_types = ArrayField(
        models.CharField(max_length=50), verbose_name="types whose records its owner could view", db_default=[]
    )
    made_at = models.DateTimeField(db_default=SyncNow())
    moved_at = models.DateTimeField("when it last got on", db_default=SyncNow())

    class Meta:
        db_table = "sync_exports"
        # Who may export is whoever may see the list.
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list of a person's exports, and the deletion of old ones.
            models.Index(fields=["owner", "-made_at"], name="sync_exports_by_owner")
        ]

    def __str__(self) -> str:
        return f"export {self.file_name}"


class ExportPart(models.Model):
    """A piece of an export's file: in the database, as web and worker share no disk; in pieces, as it may be large."""

    id = models.BigAutoField(primary_key=True)
    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="parts")
    number = models.IntegerField()
    content = models.BinaryField()

    class Meta:
        db_table = "sync_export_parts"
        default_permissions = ()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["export", "number"], name="sync_export_parts_one_a_number")
        ]

    def __str__(self) -> str:
        return f"part {self.number} of export {self.export_id}"


IMPORT_RUNNING = """backfill.state IN ('started', 'uploaded', 'listed')
    AND backfill.seen_at > sync_now() - interval '3 minutes' AND backfill.put_at > sync_now() - interval '30 minutes'"""
"""SQL: whether a backfill is creating items now, whose webhooks then need no pass."""
