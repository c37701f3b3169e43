"""manage.py npd_import FILE: shows what the file would do, then imports it once confirmed."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from npd.imports.files import ImportFileError
from npd.imports.import_jobs import confirm_import, discard_import, read_import_now, run_import
from npd.imports.messages import (
    ENCODINGS,
    display_value,
    equal_rows,
    rejected_file,
    rejected_rows,
    rejection_of_error,
    row_counts,
    warned_rows,
)
from npd.imports.models import ImportJob, ImportState, Result, RowOutcome
from npd.imports.resources import ImportOptions, labels_of
from npd.management import user_named
from sync import registry
from sync.kernel import humanize
from sync.records.authors import actor_label

SAMPLES = 10
COUNTED = (RowOutcome.NEW, RowOutcome.CHANGED, RowOutcome.UNCHANGED, RowOutcome.EQUAL, RowOutcome.INVALID)
EXIT_ROWS_SKIPPED = 3
"""The exit code where some rows of the file were not imported; 1: none were."""


class Command(BaseCommand):
    help = (
        "Imports contacts or organizations from a CSV or XLSX file. Prints what it would do and asks; exit code 0: "
        "every row is imported (or needed nothing), 3: some were left out, 1: nothing was written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the file, with titles in its first row")
        parser.add_argument(
            "--model",
            choices=sorted(spec.entity_type for spec in registry.entities()),
            default="contact",
            help="what the rows are (contact)",
        )
        parser.add_argument("--yes", action="store_true", help="write without asking")
        parser.add_argument("--dry-run", action="store_true", help="print what it would do, and end")
        parser.add_argument("--clear-empty", action="store_true", help="an empty cell empties the field")
        parser.add_argument(
            "--make-organizations", action="store_true", help="make organizations that contacts name and NPD lacks"
        )
        parser.add_argument(
            "--other-people",
            action="store_true",
            help="import rows, too, that give a record another name and other values and so may be about another one",
        )
        parser.add_argument("--encoding", choices=list(ENCODINGS), default="", help="of a CSV file; else detected")
        parser.add_argument("--errors", type=Path, help="write the rows not imported to this CSV or XLSX file")
        parser.add_argument(
            "--by", help="the user in whose name it is done; needed where there are several administrators"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        by = user_named(options["by"])
        # Opened first: a path that can't be written must not be found out after the import.
        errors = _open_private(options["errors"], options["file"]) if options["errors"] is not None else None
        job = self._read(options, by)
        self._preview(job)
        try:
            write = not options["dry_run"] and self._wanted(job, yes=options["yes"])
        except KeyboardInterrupt:
            write = False
        if write:
            if not confirm_import(job, by=by):
                raise CommandError(_concurrent_change(job))
            self._write(job)
        left = rejected_rows(job).count()
        if errors is not None:
            with errors:
                errors.writelines(rejected_file(job, "xlsx" if options["errors"].suffix.lower() == ".xlsx" else "csv"))
            self.stdout.write(f"The rows that were not imported are in {options['errors']}.")
        if not write:
            if not discard_import(job, by=by):
                raise CommandError(_concurrent_change(job))
            self.stdout.write("Nothing was written.")
            if options["dry_run"] or not job.to_write:
                return _raise_if_skipped(left)
            raise CommandError("The import was not confirmed. Run it again with --yes to write without being asked.")
        return _raise_if_skipped(left)

    def _read(self, options: dict[str, Any], by: User) -> ImportJob:
        path: Path = options["file"]
        chosen = ImportOptions(options["clear_empty"], options["make_organizations"], options["other_people"])
        try:
            with path.open("rb") as file:
                return read_import_now(
                    options["model"], path.name, file, options=chosen, by=by, encoding=options["encoding"]
                )
        except OSError as error:
            raise CommandError(
                f"{path} can't be read: {error.strerror}. Check the path and the file's rights."
            ) from error
        except ImportFileError as error:
            raise CommandError(rejection_of_error(path.name, error)) from error

    def _preview(self, job: ImportJob) -> None:
        labels = labels_of(job.entity_type)
        self.stdout.write(f"{job.file_name}: {job.how}")
        for title, label in job.columns:
            self.stdout.write(f"  “{title}” is {label or 'ignored'}")
        self._count(job)
        if job.organizations:
            self.stdout.write(f"Organizations to be made: {', '.join(sorted(job.organizations.values()))}")
        if job.options["clear_empty"]:
            self.stdout.write("Empty cells clear the fields.")
        for row in job.rows.filter(outcome__in=(RowOutcome.CHANGED, RowOutcome.NEW)).order_by("number")[:SAMPLES]:
            changes = "; ".join(
                f"{labels[name]} “{display_value(row.before.get(name))}” → “{display_value(raw)}”"
                for name, raw in row.after.items()
            )
            self.stdout.write(f"  row {row.number} {row.name} ({RowOutcome(row.outcome).label.lower()}): {changes}")
        if (more := job.to_write - SAMPLES) > 0:
            self.stdout.write(f"  … and {more:,} more")
        for row in equal_rows(job)[:SAMPLES]:
            self.stdout.write(f"  {row.reason}")
        for row in warned_rows(job).order_by("number"):
            self.stderr.write(f"  row {row.number} {row.name}, imported, but probably not synced: {row.warning}")
        if others := job.counts[RowOutcome.OTHER]:
            self.stderr.write(
                f"  {others:,} of those not imported may be about another {job.entity_type}: left out without "
                "--other-people"
            )
        for row in rejected_rows(job).order_by("number"):
            self.stderr.write(f"  row {row.number} {row.name}: {row.reason}")

    def _count(self, job: ImportJob) -> None:
        counts = row_counts(job)
        figures = "  ".join(f"{kind.label}: {counts[kind]:,}" for kind in COUNTED)
        self.stdout.write(f"{humanize.count_with_noun(counts.total(), 'row')}  {figures}")

    def _wanted(self, job: ImportJob, *, yes: bool) -> bool:
        if not job.to_write:
            self.stdout.write("There is nothing to write.")
            return False
        if yes:
            return True
        if not sys.stdin.isatty():
            return False
        return input(f"Write {job.to_write:,} rows? [y/N] ").strip().lower() in ("y", "yes")

    def _write(self, job: ImportJob) -> None:
        def tell(now: ImportJob) -> None:
            done = now.rows.exclude(result=Result.WAITING).count()
            self.stdout.write(f"  {done:,} of {job.to_write:,} rows")
            self.stdout.flush()

        run_import(job.pk, tell)
        job.refresh_from_db()
        written = job.rows.filter(result=Result.WRITTEN).count()
        self.stdout.write(humanize.count_with_noun(written, "row was imported.", "rows were imported."))
        self._count(job)
        for row in job.rows.filter(result=Result.LEFT).order_by("number"):
            self.stderr.write(f"  row {row.number} {row.name}: {row.note}")
        if job.state != ImportState.DONE:
            raise CommandError("The import was interrupted; a worker continues it within a minute.")


def _open_private(path: Path, source: Path) -> BinaryIO:
    """Open a file for rows that are not imported, personal data, for this account alone."""
    if path.resolve() == source.resolve():
        raise CommandError(f"{path} is the file to import. Name another one for the rows that are not imported.")
    try:
        return open(path, "wb", opener=partial(os.open, mode=0o600))
    except OSError as error:
        raise CommandError(f"{path} can't be written: {error.strerror}. Name another one.") from error


def _raise_if_skipped(skipped: int) -> None:
    if skipped:
        rows = "1 row was" if skipped == 1 else f"{skipped:,} rows were"
        raise CommandError(f"{rows} not imported; each is listed above.", returncode=EXIT_ROWS_SKIPPED)


def _concurrent_change(job: ImportJob) -> str:
    """Return what somebody did on the import's page while the question was open here."""
    now = ImportJob.objects.filter(pk=job.pk).select_related("done_by").first()
    if now is None:
        return f"Somebody discarded the import of {job.file_name} meanwhile, on its page. Nothing was written."
    who = actor_label(now.done_by) if now.done_by else "Somebody"
    return f"{who} confirmed the import of {job.file_name} meanwhile, on its page. Its progress is shown there."
