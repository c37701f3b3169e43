"""The export of a list: its page, which asks for the format, and the pages of one that a worker writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import islice
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from sync.admin import admin_base
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.action_errors import Conflict
from sync.models import Export, ExportFormat, ExportState
from sync.operations import exports
from sync.operations.exports import KEPT_HOURS, ListTable, csv_lines, exports_of, file_parts, xlsx_file
from sync.records import authors

ExportColumn = tuple[str, Callable[[Any], Any]]
"""A title, and what a row has below it."""

BATCH_ROWS = 500
STALLED_SECONDS = 20
"""After so long without progress the page says that no worker runs."""

MEDIA_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

STATE_BADGES = {
    ExportState.WAITING: ("wait", "schedule"),
    ExportState.WRITING: ("wait", "sync"),
    ExportState.DONE: ("ok", "check_circle"),
    ExportState.FAILED: ("bad", "error"),
}


class ExportMixin:
    """Adds the export to the admin of a list: for whoever may see it and export lists."""

    admin_site: AdminSite
    opts: Any
    model: Any
    export_related: tuple[str, ...] = ()
    """Relations whose names are among the columns."""
    get_changelist_instance: Callable[[HttpRequest], Any]
    prepare_page: Callable[[list[Any]], None]

    def export_columns(self, user: Any) -> Sequence[ExportColumn]:
        """Return the columns of the file, for this reader."""
        raise NotImplementedError

    def export_table(self, request: HttpRequest) -> ListTable:
        """Return what the list of this address and this person has on all its pages, in the list's order."""
        columns = self.export_columns(request.user)
        rows: QuerySet[Any] = self.get_changelist_instance(request).queryset
        return ListTable(
            str(self.opts.verbose_name_plural), [title for title, _ in columns], self._cells(rows, columns)
        )

    def _cells(self, rows: QuerySet[Any], columns: Sequence[ExportColumn]) -> Iterator[list[Any]]:
        whole = rows.select_related(*self.export_related) if self.export_related else rows
        found = whole.iterator(chunk_size=BATCH_ROWS)
        while batch := list(islice(found, BATCH_ROWS)):
            self.prepare_page(batch)
            yield from ([value(row) for _, value in columns] for row in batch)

    def get_urls(self) -> list[URLPattern]:
        """Add the pages."""
        pages: tuple[tuple[str, str, Callable[..., HttpResponseBase]], ...] = (
            ("export/", "export", require_http_methods(["GET", "HEAD", "POST"])(self.export_list)),
            ("export/<uuid:export_id>/", "export_page", require_GET(self.export_page)),
            ("export/<uuid:export_id>/progress/", "export_progress", require_GET(self.export_progress)),
            ("export/<uuid:export_id>/file/", "export_file", require_GET(self.export_file)),
        )
        own = [
            path(route, self.admin_site.admin_view(never_cache(self._checked(view))), name=self._export_name(name))
            for route, name, view in pages
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def _export_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def _export_url(self, name: str, *args: object) -> str:
        return reverse(f"admin:{self._export_name(name)}", args=args)

    def _checked(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """The view, for those who may export the list; of one export for its owner alone."""

        def checked_view(request: HttpRequest, export_id: UUID | None = None) -> HttpResponseBase:
            if not exports.may_export(request.user, self.opts.label_lower):
                raise PermissionDenied
            if export_id is None:
                try:
                    return view(request)
                except IncorrectLookupParameters as error:
                    raise BadRequest("A filter in the address has a value that is not possible. Remove it.") from error
            found = exports_of(request.user, self.opts.label_lower).filter(pk=export_id).first()
            if found is None:
                raise Http404(f"There is no export {export_id} of yours; it may be older than {KEPT_HOURS} hours.")
            return view(request, found)

        return checked_view

    def export_list(self, request: HttpRequest) -> HttpResponseBase:
        """Ask for the format; on POST, answer with the file, or with the page of the export that a worker writes."""
        total = self.get_changelist_instance(request).queryset.order_by().count()
        chosen = request.POST.get("format", "")
        if request.method == "POST" and chosen in ExportFormat.values:
            file_format = ExportFormat(chosen)
            name = exports.export_name(self.model, file_format)
            try:
                if total <= settings.EXPORT_ROWS_AT_ONCE:
                    self._log_export(request, total, file_format)
                    return _file_answer(self.export_table(request), file_format, name)
                query, user = request.GET.urlencode(), cast("User", request.user)
                made = exports.request_export(user, self.opts.label_lower, query, file_format, name, total)
                self._log_export(request, total, file_format)
                return admin_base.see_other(self._export_url("export_page", made.pk))
            except Conflict as refused:
                messages.warning(request, str(refused))
                return HttpResponseRedirect(request.get_full_path())
        noun = humanize.count_with_noun(total, str(self.opts.verbose_name), str(self.opts.verbose_name_plural))
        query = request.GET.urlencode()
        latest = exports_of(request.user, self.opts.label_lower)
        context = self._export_context(request, f"Export {noun}") | {
            "total": total,
            "is_filtered": bool(query),
            "is_long": total > settings.EXPORT_ROWS_AT_ONCE,
            "back": f"{self._export_url('changelist')}{'?' + query if query else ''}",
            "action": request.get_full_path(),
            "formats": ExportFormat.choices[::-1],  # the one for spreadsheets is the main button
            "latest": [(self._export_url("export_page", one.pk), self._badge(one), one) for one in latest],
        }
        return TemplateResponse(request, "sync/export_list.html", context)

    def _log_export(self, request: HttpRequest, total: int, file_format: ExportFormat) -> None:
        filters = f" Filters: {request.GET.urlencode()}." if request.GET else ""
        said = f"Exported {total:,} rows as {file_format.label}.{filters}"
        authors.log_kind_action(request.user, self.model, said, name=str(self.opts.verbose_name_plural))

    def _export_context(self, request: HttpRequest, title: str) -> dict[str, Any]:
        context = self.admin_site.each_context(request)
        return {**context, "title": title, "page_name": title, "opts": self.opts, "kept_hours": KEPT_HOURS}

    def export_page(self, request: HttpRequest, export: Export) -> HttpResponse:
        """Show how far it is, and at its end the button that downloads it."""
        title = f"Export of {self.opts.verbose_name_plural}"
        return TemplateResponse(
            request, "sync/export_page.html", self._export_context(request, title) | self._state_of(export)
        )

    def export_progress(self, request: HttpRequest, export: Export) -> HttpResponse:
        """Show the progress, which the page asks for each second."""
        context = {"kept_hours": KEPT_HOURS} | self._state_of(export)
        return TemplateResponse(request, "sync/export_progress.html", context)

    def _state_of(self, export: Export) -> dict[str, Any]:
        quiet = (sync_now() - export.moved_at).total_seconds()
        query = f"?{export.query}" if export.query else ""
        return {
            "export": export,
            "state_badge": self._badge(export),
            "busy": export.state in (ExportState.WAITING, ExportState.WRITING),
            "stalled": quiet > STALLED_SECONDS,
            "progress_url": self._export_url("export_progress", export.pk),
            "file_url": self._export_url("export_file", export.pk),
            "again_url": f"{self._export_url('export')}{query}",
        }

    def _badge(self, export: Export) -> str:
        return admin_base.badge(*STATE_BADGES[ExportState(export.state)], export.get_state_display())

    def export_file(self, request: HttpRequest, export: Export) -> HttpResponseBase:
        """Answer with the file."""
        if export.state != ExportState.DONE:
            return HttpResponseRedirect(self._export_url("export_page", export.pk))
        if not exports.may_download(request.user, export):
            raise PermissionDenied(exports.LOST_SIGHT)
        answer = StreamingHttpResponse(file_parts(export))
        answer.headers["Content-Length"] = str(export.size)
        return _as_download(answer, ExportFormat(export.file_format), export.file_name)


def _file_answer(table: ListTable, file_format: ExportFormat, name: str) -> HttpResponseBase:
    # Whole: a streamed answer is asked for its parts by several threads, and the rows are read by this one's cursor.
    file = BytesIO(b"".join(csv_lines(table))) if file_format is ExportFormat.CSV else xlsx_file(table)
    return _as_download(FileResponse(file), file_format, name)


def _as_download(answer: HttpResponseBase, file_format: ExportFormat, name: str) -> HttpResponseBase:
    answer.headers["Content-Type"] = MEDIA_TYPES[file_format]
    answer.headers["Content-Disposition"] = str(content_disposition_header(True, name))
    return answer
