"""The export of a list: the page that asks for the format, and answers with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from sync.admin.admin_base import PageAdmin, own_page
from sync.clock import sync_now
from sync.kernel import humanize
from sync.models import ExportFormat
from sync.operations.exports import ListTable, csv_lines, xlsx_file
from sync.records import authors

ExportColumn = tuple[str, Callable[[Any], Any]]
"""A title, and what a row has below it."""

EXPORT_RIGHT = "sync.export_lists"
"""The right that an export asks for, beside that to view the list."""

BATCH_ROWS = 500
MAX_XLSX_ROWS = 100_000
"""An XLSX file is written before its first byte is sent, which takes a second for some thousand rows."""

MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class ExportMixin(PageAdmin):
    """Adds the export to the admin of a list: for whoever may see it and export lists."""

    export_related: tuple[str, ...] = ()
    """Relations whose names are among the columns."""

    def export_columns(self) -> Sequence[ExportColumn]:
        raise NotImplementedError

    def export_table(self, request: HttpRequest) -> ListTable:
        """Return what the list of this address and this person has on all its pages, in the list's order."""
        columns = self.export_columns()
        rows: QuerySet[Any] = self.get_changelist_instance(request).queryset
        return ListTable(
            str(self.opts.verbose_name_plural), [title for title, _ in columns], self._cells(rows, columns)
        )

    def _cells(self, rows: QuerySet[Any], columns: Sequence[ExportColumn]) -> Iterator[list[Any]]:
        whole = rows.select_related(*self.export_related) if self.export_related else rows
        # By their keys, and not by a cursor: a streamed answer is asked for its parts by several threads.
        keys = iter(list(rows.values_list("pk", flat=True)))
        while some := list(islice(keys, BATCH_ROWS)):
            batch = list(whole.filter(pk__in=some))
            self.prepare_page(batch)
            yield from ([value(row) for _, value in columns] for row in batch)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(never_cache(require_http_methods(["GET", "HEAD", "POST"])(self.export_list)))
        return [path("export/", view, name=self._url_name("export")), *super().get_urls()]

    def _url_name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view.replace('-', '_')}"

    def export_list(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for the format; on POST, answer with the file."""
        if not (request.user.has_perm(EXPORT_RIGHT) and self.has_view_permission(request)):
            raise PermissionDenied
        try:
            total = self.get_changelist_instance(request).queryset.order_by().count()
        except IncorrectLookupParameters as error:
            raise BadRequest("A filter in the address has a value that is not possible. Remove it.") from error
        chosen = request.POST.get("format", "")
        if request.method == "POST" and chosen in ExportFormat.values:
            file_format = ExportFormat(chosen)
            if file_format is ExportFormat.XLSX and total > MAX_XLSX_ROWS:
                messages.warning(
                    request,
                    f"No file was made: for Excel it may have {MAX_XLSX_ROWS:,} rows. Choose CSV, which Excel opens, "
                    "too, or filter the list first.",
                )
                return HttpResponseRedirect(request.get_full_path())
            filters = f" Filters: {request.GET.urlencode()}." if request.GET else ""
            said = f"Exported {total:,} rows as {file_format.label}.{filters}"
            authors.log_kind_action(request.user, self.model, said, name=str(self.opts.verbose_name_plural))
            return self._file_answer(self.export_table(request), file_format)
        query = request.GET.urlencode()
        nouns = str(self.opts.verbose_name), str(self.opts.verbose_name_plural)
        title, address = f"Export {humanize.count_with_noun(total, *nouns)}", self._url_name("changelist")
        return own_page(
            self,
            request,
            "sync/export_list.html",
            title,
            page_name=title,
            total=total,
            is_filtered=bool(query),
            back=f"{reverse(f'admin:{address}')}{'?' + query if query else ''}",
            action=request.get_full_path(),
            formats=ExportFormat.choices[::-1],  # the one for spreadsheets is the main button
        )

    def _file_answer(self, table: ListTable, file_format: ExportFormat) -> HttpResponseBase:
        answer: HttpResponseBase = (
            FileResponse(xlsx_file(table))
            if file_format is ExportFormat.XLSX
            else StreamingHttpResponse(_joined(csv_lines(table)))
        )
        name = f"{table.title} {sync_now():%Y-%m-%d %H.%M}.{file_format}"
        answer.headers["Content-Type"] = MEDIA_TYPES[file_format]
        answer.headers["Content-Disposition"] = str(content_disposition_header(True, name))
        return answer


def field_value(field: Any, row: Any) -> Any:
    """Return what a row has in a field, in words where it is a choice or another row."""
    value = getattr(row, field.name)
    if field.is_relation:
        return str(value or "")
    return getattr(row, f"get_{field.name}_display")() if field.choices else value


def _joined(lines: Iterator[bytes]) -> Iterator[bytes]:
    while part := b"".join(islice(lines, BATCH_ROWS)):
        yield part
