"""Lists as files by API: an export of all that a list's filters let through, how far it is, its file.

The columns, the file and its limits are those of the admin's exports (sync/operations/exports.py).
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast

import django_filters
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import content_disposition_header
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, filtered_by, ordering_of
from sync.api.request_rules import KnownFieldsMixin, MayViewOnPost, Moment, own_method, slash_paths
from sync.kernel.action_errors import Conflict
from sync.models import Export, ExportFormat, ExportState
from sync.operations import exports
from sync.records.authors import log_kind_action

_TAGS = ["exports"]
FILE_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class ExportRequestSerializer(KnownFieldsMixin):
    """What the file is to be."""

    file_format = serializers.ChoiceField(choices=ExportFormat.choices)


class ExportSerializer(serializers.ModelSerializer[Export]):
    """An export: `waiting` for a worker, `writing`, then `done` or `failed`; kept for a day, for its owner alone."""

    list = serializers.SerializerMethodField(help_text="Which list: contacts, organizations, history, queue …")
    filters = serializers.CharField(source="query", help_text="As in the address after the question mark.")
    total = serializers.IntegerField(help_text="Rows when it was asked for.")
    rows = serializers.IntegerField(help_text="Rows written so far.")
    size = serializers.IntegerField(help_text="Bytes, once it is done.")
    problem = serializers.CharField(help_text="Why the last attempt failed.")
    created_at = serializers.DateTimeField(source="made_at")

    class Meta:
        model = Export
        fields = [
            *("id", "list", "filters", "by_api", "file_format", "file_name", "state", "total", "rows", "size"),
            *("problem", "created_at"),
        ]
        read_only_fields = fields

    def get_list(self, export: Export) -> str:
        """The list's name in this API."""
        return exports.list_name(export.model)


_EXPORT_FILTERS = ("state", "file_format", "by_api", "file_name", "total", "rows", "size")


@filtered_by(Export, _EXPORT_FILTERS)
class ExportFilter(FilterSet):  # type: ignore[misc]
    """The filters of one's exports."""

    list = django_filters.ChoiceFilter(
        method="of_list",
        choices=lambda: [(name, name) for name in map(exports.list_name, exports.listed_models())],
        label="List",
        help_text="As an export names it.",
    )
    created_since = Moment(field_name="made_at", lookup_expr="gte", help_text="`created_at` at this time or later.")
    created_before = Moment(field_name="made_at", lookup_expr="lt", help_text="`created_at` before this time.")
    ordering = ordering_of(Export, _EXPORT_FILTERS, created_at="made_at")

    def of_list(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Those of one list."""
        return queryset.filter(model__in=[one for one in exports.listed_models() if exports.list_name(one) == value])


class CsvRenderer(BaseRenderer):
    """Lets callers accept such a file; what is answered is streamed, whichever it is."""

    media_type = "text/csv"
    format = "csv"


class XlsxRenderer(BaseRenderer):
    """The same."""

    media_type = FILE_TYPES[ExportFormat.XLSX]
    format = "xlsx"


@extend_schema_view(
    list=extend_schema(
        operation_id="list_exports",
        summary="List one's exports",
        description="Your exports of the last 24 hours, also those that you made on a page, the newest first.",
        tags=_TAGS,
    ),
    retrieve=extend_schema(
        operation_id="get_export", summary="Show an export", description="How far it is.", tags=_TAGS
    ),
)
class ExportViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[Export]):
    """One's own exports."""

    queryset = Export.objects.none()
    serializer_class = ExportSerializer
    filterset_class = ExportFilter
    permission_classes = [IsAuthenticated]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"file": (409,)}

    def get_queryset(self) -> QuerySet[Export]:
        """Nobody is told of another's, an administrator neither."""
        return exports.exports_of(self.request.user)

    def get_renderers(self) -> Any:
        """A file, beside problems."""
        return [JSONRenderer(), CsvRenderer(), XlsxRenderer()] if self.action == "file" else super().get_renderers()

    @extend_schema(
        operation_id="get_export_file",
        summary="Download the file of an export",
        description="CSV in UTF-8, or XLSX, as `file_format` says; 409 before it is written. It needs the permissions "
        "to export lists and to view what was exported, also now, and all types of records that it names.",
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, XlsxRenderer.media_type): OpenApiTypes.BINARY},
        tags=_TAGS,
    )
    def file(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The file, piece by piece."""
        export: Export = self.get_object()
        if not exports.may_download(request.user, export):
            raise PermissionDenied(exports.LOST_SIGHT)
        if export.state != ExportState.DONE:
            raise Conflict("The file isn't written yet. Read the export's state again in a second.", code="not_ready")
        answer = StreamingHttpResponse(
            exports.file_parts(export), content_type=FILE_TYPES[ExportFormat(export.file_format)]
        )
        answer.headers["Content-Length"] = str(export.size)
        answer.headers["Content-Disposition"] = str(content_disposition_header(True, export.file_name))
        return answer


class MayExport(BasePermission):
    """For lists as files."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller may export lists."""
        return bool(request.user.has_perm(exports.EXPORT_RIGHT))


class ListExport:
    """`POST {list}/exports`, for a view of a list: all that its filters let through, as a file."""

    shaped: ClassVar[tuple[str, ...]] = ()
    paged: ClassVar[tuple[str, ...]] = ()
    narrowed: ClassVar[tuple[str, ...]] = ("export",)
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {}
    scopes: ClassVar[dict[str, str]] = {"export": "read"}

    def get_permissions(self) -> Any:
        """Whoever may see the list and export lists, as in the admin."""
        return [MayViewOnPost(), MayExport()]

    def export(self, request: Request) -> Response:
        """Write a short one now; a long one is written by a worker."""
        view: Any = self
        body = ExportRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        rows: QuerySet[Any] = view.filter_queryset(view.get_queryset())
        model, chosen = rows.model, ExportFormat(body.validated_data["file_format"])
        total, query = rows.order_by().count(), request.query_params.urlencode()
        owner: Any = request.user
        made = exports.request_export(
            owner, model._meta.label_lower, query, chosen, exports.export_name(model, chosen), total, by_api=True
        )
        filters = f" Filters: {query}." if query else ""
        said = f"Exported {total:,} rows as {chosen.label}, by the API.{filters}"
        log_kind_action(owner, model, said, name=str(model._meta.verbose_name_plural))
        if total <= settings.EXPORT_ROWS_AT_ONCE:
            exports.write_at_once(made)
            made.refresh_from_db()
        code = HTTPStatus.CREATED if made.state == ExportState.DONE else HTTPStatus.ACCEPTED
        address = request.build_absolute_uri(reverse("export", args=[made.pk]))
        return Response(ExportSerializer(made).data, code, headers={"Location": address})


def export_paths(collection: str, name: str, view: Any) -> list[URLPattern]:
    """The address at which a list is exported; `view` is its view set, `name` what its rows are called."""
    documented = extend_schema(
        operation_id=f"export_{name}",
        summary=f"Export {name} as a file",
        description="Write all that the list's filters let through, in its order, as CSV or XLSX, with the columns of "
        "the admin's export: 201 once it is written, or 202 where a worker writes it because it is long. Follow the "
        "export until its state is `done`, then get its file, for 24 hours. Three may be unfinished at once. No "
        "cell is taken for a formula.",
        request=ExportRequestSerializer,
        responses=dict.fromkeys((201, 202), ExportSerializer),
        tags=_TAGS,
    )
    own = {"export": documented(own_method(ListExport.export))}
    of_list: Any = type(f"{view.__name__}Export", (ListExport, view), own)
    exports.register_api_list(view.queryset.model._meta.label_lower, name, partial(_rows_of, of_list))
    return slash_paths(f"{collection}/exports", of_list.as_view({"post": "export"}), f"{name}-exports")


def _rows_of(view_class: Any, owner: User, query: QueryDict) -> QuerySet[Any]:
    """What the list has for somebody, by its own rules; asked by a worker, without a request."""
    plain = HttpRequest()
    plain.method, plain.GET = "GET", cast("Any", query)
    view = view_class()
    view.action, view.args, view.kwargs, view.format_kwarg = "export", (), {}, None
    view.request = Request(plain)
    view.request.user = owner
    found: QuerySet[Any] = view.filter_queryset(view.get_queryset())
    return found


urlpatterns = [
    path("exports/", ExportViewSet.as_view({"get": "list"}), name="exports"),
    path("exports/<uuid:pk>/", ExportViewSet.as_view({"get": "retrieve"}), name="export"),
    *slash_paths("exports/<uuid:pk>/file", ExportViewSet.as_view({"get": "file"}), "export-file"),
]
