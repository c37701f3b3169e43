"""Lists as files: what a list of the admin shows under its filters, as CSV or XLSX. A short one is written
while its person waits; a long one by a worker, in pieces into the database, for its owner alone and for a day.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from io import SEEK_END, BytesIO
from typing import IO, Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, QueryDict

from sync.clock import SyncNow, sync_now
from sync.kernel import process
from sync.kernel.action_errors import Conflict
from sync.models import Export, ExportFormat, ExportPart, ExportState
from sync.operations import attempts
from sync.operations.attempts import Attempt, Interrupted
from sync.outbox.notify import send_task
from sync.registry import visible_types

log = structlog.get_logger(__name__)

KEPT_HOURS = 24
"""How long a file can be downloaded; it holds personal data, so no longer."""

MAX_FINISHED = 5
"""Exports of one person and list that are kept, those done last; one more takes the place of the earliest."""

MAX_UNFINISHED = 3
"""Exports of one person that wait or are being written."""

# A file is stored and sent part by part: never as a whole in a process's memory.
PART_BYTES = 1_000_000
XLSX_ROWS = 1_048_575
"""Rows below the titles that a sheet can have."""
XLSX_CHARACTERS = 32_767
"""Characters that a cell can have."""

EXPORT_RIGHT = "sync.export_lists"
"""The right that an export asks for, beside that to view the list."""

LOST_SIGHT = "You may not export this list, or view all that this file names, any more. Ask an administrator."

_BOM = "\ufeff"  # without it Excel reads UTF-8 as Windows-1252


@dataclass(frozen=True)
class ListTable:
    """A list as a table: titles, and its rows as texts, numbers, moments, truth values or lists of texts."""

    title: str
    heads: Sequence[str]
    rows: Iterable[Sequence[Any]]


_FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")
"""Where a formula may begin, in Japanese Excel also by the wide signs; apostrophes and blanks before it count for
nothing, so that an import can take just what was added off again.
"""


def escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it."""
    return f"'{cell}" if cell.lstrip("' \u00a0\u200b\ufeff")[:1] in _FORMULA_SIGNS else cell


def csv_lines(
    table: ListTable, progress: Callable[[int], None] = lambda rows: None, escape: Callable[[str], str] = escape_formula
) -> Iterator[bytes]:
    """Return a table as the lines of a CSV file in UTF-8; moments are in UTC."""
    # Where a semicolon separates, as in German and Swedish Excel, an unquoted one in a name would begin a cell.
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield (_BOM + writer.writerow([escape(head) for head in table.heads])).encode()
    for number, row in enumerate(table.rows, 1):
        yield writer.writerow([escape(_csv_cell(value)) for value in row]).encode()
        progress(number)


class _Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def _csv_cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return "; ".join(map(str, value))
    return str(value)


def write_xlsx(table: ListTable, file: IO[bytes], progress: Callable[[int], None] = lambda rows: None) -> None:
    """Write a table as an XLSX file of one sheet, row by row in flat memory; every text is a text, never a formula."""
    # Not loaded by every process that starts.
    from xlsxwriter import Workbook

    options = {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss", "remove_timezone": True}
    with Workbook(file, options) as book:
        sheet = book.add_worksheet(table.title[:31])
        sheet.set_column(0, len(table.heads) - 1, 22)
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for place, head in enumerate(table.heads):
            sheet.write_string(0, place, head, bold)
        for number, row in enumerate(table.rows, 1):
            for place, value in enumerate(row):
                if isinstance(value, datetime):
                    sheet.write_datetime(number, place, value.astimezone(UTC))
                elif isinstance(value, int) and not isinstance(value, bool):
                    sheet.write_number(number, place, value)
                elif text := _text(value):
                    sheet.write_string(number, place, text[:XLSX_CHARACTERS])
            progress(number)


def xlsx_file(table: ListTable) -> IO[bytes]:
    file = BytesIO()
    write_xlsx(table, file)
    file.seek(0)
    return file


# --- the life of a long one ---


def export_name(model: type[Model], file_format: str) -> str:
    return f"{model._meta.verbose_name_plural} {sync_now():%Y-%m-%d %H.%M}.{file_format}"


def request_export(owner: User, model: str, query: str, file_format: str, file_name: str, total: int) -> Export:
    """Store what is to be written, and notify a worker; raises Conflict. `query` is that of the admin's list."""
    if file_format == ExportFormat.XLSX and total > XLSX_ROWS:
        raise Conflict(f"An Excel sheet has room for {XLSX_ROWS:,} rows. Choose CSV, or narrow the list by a filter.")
    with transaction.atomic():
        # One row of the person at a time: of two clicks at once the second one counts the first.
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        unfinished = Export.objects.filter(owner=owner, state__in=(ExportState.WAITING, ExportState.WRITING))
        if unfinished.count() >= MAX_UNFINISHED:
            raise Conflict(f"{MAX_UNFINISHED} of your exports are not ready yet. Wait for one of them, then try again.")
        made = Export.objects.create(
            owner=owner, model=model, query=query, file_format=file_format, file_name=file_name, total=total
        )
        transaction.on_commit(notify_export_worker, robust=True)
    made.refresh_from_db()
    return made


def notify_export_worker() -> None:
    """Notify a worker to write exports; without a broker, Beat asks every minute."""
    send_task("sync.exports")


def exports_of(owner: Any, model: str = "") -> QuerySet[Export]:
    """Return a person's exports that are still kept, of one list or of all, the newest first."""
    limit = sync_now() - timedelta(hours=KEPT_HOURS)
    found = Export.objects.filter(owner=owner, made_at__gt=limit).order_by("-made_at")
    return found.filter(model=model) if model else found


def may_export(user: Any, model: str) -> bool:
    """Whether somebody may have a list as a file: whoever may see it, and export lists."""
    request = HttpRequest()
    request.user = user
    return bool(user.has_perm(EXPORT_RIGHT) and _admin_of(model).has_view_permission(request))


def may_download(user: Any, export: Export) -> bool:
    """Whether somebody may have an export's file: who may export its list, and see records of all types it names."""
    return may_export(user, export.model) and visible_types(user).issuperset(export.shown_types)


def file_parts(export: Export) -> Iterator[bytes]:
    """Return an export's file, piece by piece."""
    for number in export.parts.order_by("number").values_list("number", flat=True):
        yield bytes(export.parts.values_list("content", flat=True).get(number=number))


def write_exports() -> None:
    """Delete old exports, then write those that wait, the oldest first; those that another worker writes are its."""
    Export.objects.filter(made_at__lt=sync_now() - timedelta(hours=KEPT_HOURS)).delete()
    while not process.is_shutting_down() and (export := _claim()) is not None:
        _attempt(export)


def _attempt(export: Export) -> None:
    attempt = Attempt(export, ExportState.WRITING)
    try:
        _write(export, attempt)
        # What the person has of this list already is kept, up to a number: files are large.
        finished = Export.objects.filter(owner=export.owner, model=export.model, state=ExportState.DONE)
        # By when they were done: a long one that shorter ones overtook is not deleted just then.
        surplus = finished.exclude(pk=export.pk).order_by("-moved_at").values_list("pk", flat=True)[MAX_FINISHED - 1 :]
        Export.objects.filter(pk__in=list(surplus)).delete()
    except Interrupted:
        # The next worker begins from its first row.
        attempt.give_back(state=ExportState.WAITING, rows=0)
    except SoftTimeLimitExceeded:
        raise
    except PermissionDenied:
        attempt.row.update(state=ExportState.FAILED, problem="You may not export this list any more.")
    except Exception as error:  # an unknown error of one list must not stop those behind it
        log.exception("an export could not be written", export=str(export.pk), attempts=export.attempts)
        attempt.row.update(problem=type(error).__name__)


def _claim() -> Export | None:
    """Claim an export that nobody writes."""
    due = Q(state=ExportState.WAITING) | Q(attempts.silent(), state=ExportState.WRITING)
    waiting = Export.objects.select_related("owner").filter(due)
    return attempts.claim(waiting, _give_up, state=ExportState.WRITING, rows=0)


def _give_up(export: Export) -> None:
    export.state = ExportState.FAILED
    export.save(update_fields=["state"])


def _write(export: Export, attempt: Attempt) -> None:
    def progress(rows: int) -> None:
        attempt.tell(rows=rows)

    shown_types = sorted(visible_types(export.owner))
    table, written = _table_of(export), 0
    with tempfile.TemporaryFile() as file:

        def counted(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
            nonlocal written
            for row in rows:
                written += 1
                yield row

        table = ListTable(table.title, table.heads, counted(table.rows))
        if export.file_format == ExportFormat.XLSX:
            write_xlsx(table, file, progress)
        else:
            file.writelines(csv_lines(table, progress))
        size = file.seek(0, SEEK_END)
        file.seek(0)
        with transaction.atomic():
            # A worker that was thought dead may come back: only whoever has the claim now replaces the parts.
            if not attempt.is_current():
                raise Interrupted
            export.parts.all().delete()
            for number, content in enumerate(iter(lambda: file.read(PART_BYTES), b"")):
                ExportPart.objects.create(export=export, number=number, content=content)
            done = {"rows": written, "size": size, "shown_types": shown_types}
            attempt.row.update(state=ExportState.DONE, problem="", moved_at=SyncNow(), **done)


def _table_of(export: Export) -> ListTable:
    """The list as its owner sees it now: by its own filters, and the admin's permissions and columns."""
    if not may_export(export.owner, export.model):
        raise PermissionDenied
    request = HttpRequest()
    request.method, request.user, request.GET = "GET", export.owner, QueryDict(export.query)
    table: ListTable = _admin_of(export.model).export_table(request)
    return table


def _admin_of(model: str) -> Any:
    import_module(settings.ROOT_URLCONF)  # registers the lists that the admin generates
    return admin.site.get_model_admin(apps.get_model(model))
