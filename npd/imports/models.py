"""An import as stored: what it would write, row by row, and what became of each row."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())
NOTHING = models.Value([], models.JSONField())


class ImportState(models.TextChoices):
    """How far an import is."""

    READING = "reading", "Being read"
    FAILED = "failed", "Could not be read"
    COLUMNS = "columns", "Columns to be chosen"
    SHOWN = "shown", "Not confirmed yet"
    RUNNING = "running", "Being imported"
    DONE = "done", "Imported"
    UNDOING = "undoing", "Being undone"
    UNDONE = "undone", "Undone"


class RowOutcome(models.TextChoices):
    """What a row of the file comes to, as decided when it was read."""

    NEW = "new", "New"
    CHANGED = "changed", "Changed"
    UNCHANGED = "unchanged", "Unchanged"
    EQUAL = "equal", "Equal"
    INVALID = "invalid", "Not imported"
    AMBIGUOUS = "ambiguous", "Ambiguous"
    REPEATED = "repeated", "Repeated"
    OTHER = "other", "Another record?"


class Result(models.TextChoices):
    """What became of a row that was to be written."""

    WAITING = "", "Not imported"
    WRITTEN = "written", "Imported"
    LEFT = "left", "Left alone"
    UNDONE = "undone", "Undone"
    KEPT = "kept", "Not undone"


class ImportJob(models.Model):
    """One file: read by a worker, shown, and written when a person has confirmed it.

    `options` is {clear_empty, make_organizations, other_people, encoding, fields: [field of each column or nothing, …],
    chosen: the same, where a person chose it},
    `columns` [[title, label of the field or nothing], …], `counts` how many rows come to what,
    `organizations` those that are to be created, {id given beforehand: name}. Of one that could not be read,
    `reason` and `facts` are the code of the sentence and its values (messages.rejection_text).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entity_type = models.CharField(max_length=50)
    file_name = models.CharField(max_length=255)
    how = models.CharField("how the file was read", max_length=255, blank=True, db_default="")
    options: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    columns: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    counts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    organizations: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    state = models.CharField(max_length=20, choices=ImportState.choices, db_default=ImportState.SHOWN)
    attempts = models.SmallIntegerField("how often reading it was begun", db_default=0)
    rows_read = models.IntegerField(db_default=0)
    rows_compared = models.IntegerField(db_default=0)
    reason = models.CharField("why it could not be read", max_length=50, blank=True, db_default="")
    facts: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    done_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    made_at = models.DateTimeField(db_default=SyncNow())
    moved_at = models.DateTimeField("when it last got on", db_default=SyncNow())

    class Meta:
        db_table = "npd_imports"
        # Who may import is whoever may add and change the records.
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            # Serves the list of the latest imports, and the deletion of old ones.
            models.Index(fields=["-made_at"], name="npd_imports_by_age")
        ]

    def __str__(self) -> str:
        return f"import of {self.file_name}"

    @property
    def titles(self) -> list[str]:
        return [title for title, _label in self.columns]

    @property
    def to_write(self) -> int:
        """How many rows it writes when it is confirmed."""
        return int(self.counts.get(RowOutcome.NEW, 0)) + int(self.counts.get(RowOutcome.CHANGED, 0))


class ImportFile(models.Model):
    """A file to be read: in the database, as web and worker share no disk, until it is read or given up."""

    job = models.OneToOneField(ImportJob, on_delete=models.CASCADE, primary_key=True, related_name="file")
    content = models.BinaryField()

    class Meta:
        db_table = "npd_import_files"
        default_permissions = ()

    def __str__(self) -> str:
        return f"file of import {self.job_id}"


class ImportRow(models.Model):
    """One row of the file: what it comes to, and what became of it.

    `before` and `after` are raw values by field, of a changed record only of the fields that change;
    `problems` are [[label of the field or nothing, what is wrong and what to do], …]; `warnings` the same of a row that
    is imported, of values that Monday will probably reject. The rows are the file, which may
    be read again with other columns: `broken` says which cells can't be read, {position: what is wrong}. Until its
    columns are chosen, a row has no outcome.
    """

    id = models.BigAutoField(primary_key=True)
    job = models.ForeignKey(ImportJob, on_delete=models.CASCADE, related_name="rows")
    number = models.IntegerField()
    outcome = models.CharField(max_length=20, choices=RowOutcome.choices, blank=True, db_default="")
    record_id = models.UUIDField(null=True, blank=True)
    name = models.CharField(max_length=255, blank=True, db_default="")
    cells: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    before: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    after: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    broken: models.JSONField[Any, Any] = models.JSONField(db_default=EMPTY, blank=True)
    problems: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    warnings: models.JSONField[Any, Any] = models.JSONField(db_default=NOTHING, blank=True)
    result = models.CharField(max_length=20, choices=Result.choices, blank=True, db_default="")
    note = models.TextField(blank=True, db_default="")

    class Meta:
        db_table = "npd_import_rows"
        default_permissions = ()
        ordering: ClassVar[list[str]] = ["number"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["job", "number"], name="npd_import_rows_one_a_number")
        ]
        indexes: ClassVar[list[models.Index]] = [
            # Serves "the next rows to be written", and the counts on the page.
            models.Index(fields=["job", "outcome", "result"], name="npd_import_rows_to_do")
        ]

    def __str__(self) -> str:
        return f"row {self.number} of import {self.job_id}"

    @property
    def reason(self) -> str:
        """What is wrong with it, and what to do."""
        return f"{labelled(self.problems)} {self.note}".strip()

    @property
    def warning(self) -> str:
        """What of it will probably not sync, and what to write instead."""
        return labelled(self.warnings)


def labelled(told: Iterable[Sequence[str]]) -> str:
    """Return pairs of a field's label, or nothing, and what is said of it as one text."""
    return " ".join(f"{label}: {what}" if label else what for label, what in told)
