"""What became of the rows, for people: the ones that were not imported, as lines of a file."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q, QuerySet

from npd.importing.models import ImportJob, ImportRow, ImportState, Outcome, Result

WHY = "Not imported because"
"""The title of the column that says why; an import passes over it."""


def refused(job: ImportJob) -> QuerySet[ImportRow]:
    """Return the rows that are not imported: refused by the preview, or left alone when it was written."""
    bad = Q(outcome__in=(Outcome.INVALID, Outcome.AMBIGUOUS)) | Q(result=Result.LEFT)
    if job.state in (ImportState.UNDOING, ImportState.UNDONE):
        bad |= Q(result=Result.KEPT)
    return job.rows.filter(bad)


def why(row: ImportRow) -> str:
    """Return what is wrong with a row, and what to do, in one text."""
    parts = [f"{label}: {what}" if label else what for label, what in row.problems]
    return " ".join([*parts, row.note]).strip()


def not_written(job: ImportJob) -> Iterator[list[str]]:
    """Yield the titles, then each row that was not imported, with its row number and why at its end."""
    titles = [title for title, _label in job.columns]
    kept = [index for index, title in enumerate(titles) if title != WHY]
    yield [*(titles[index] for index in kept), WHY]
    for row in refused(job).order_by("number").iterator(chunk_size=2000):
        cells = [row.cells[index] if index < len(row.cells) else "" for index in kept]
        more = row.cells[len(titles) :]
        yield [*cells, f"Row {row.number}: {why(row)}", *more]
