"""What the API of contacts and organizations has beyond their models and registration: a filter's fields, and imports.

Of an import a file goes in, a worker reads it, its plan is read and applied: the steps of the admin's pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import UUID

import django_filters
from django.contrib.auth.models import User
from django.db.models import Count, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from npd.imports.files import ImportFileError
from npd.imports.import_jobs import (
    clean_file_name,
    confirm_import,
    discard_import,
    may_import,
    may_make_organizations,
    may_undo,
    rows_to_write,
    start_undo,
    upload,
)
from npd.imports.import_lookup import MODELS
from npd.imports.import_plan import ImportOptions
from npd.imports.messages import ENCODINGS, rejected_rows, rejection_of_error, rejection_text, row_reason
from npd.imports.models import ImportJob, ImportRow, ImportState, Result, RowOutcome
from npd.models import Organization
from sync.api.lists import ShapedView, filtered_by, ordering_of
from sync.api.record_endpoints import record_paths
from sync.api.request_rules import (
    ApiView,
    EntityType,
    KnownFieldsMixin,
    Moment,
    RecordFilter,
    TrueOrFalse,
    own_method,
    slash_paths,
)
from sync.kernel.action_errors import Conflict

_TAGS = ["imports"]


class ImportUploadSerializer(KnownFieldsMixin):
    """A file, and how it is to be read."""

    file = serializers.FileField(
        help_text="CSV or XLSX, at most 10 MB and 50,000 rows, with titles in its first row.", allow_empty_file=True
    )
    clear_empty = serializers.BooleanField(default=False, help_text="Whether an empty cell empties the field.")
    make_organizations = serializers.BooleanField(
        default=False, help_text="Of contacts: whether an organization that isn't there is made."
    )
    encoding = serializers.ChoiceField(
        choices=[*ENCODINGS], default="", allow_blank=True, help_text="Of a CSV file; without it auto-detected."
    )


class ImportColumnSerializer(serializers.Serializer[Any]):
    """A column of the file, and the field that it is read as; null where it is ignored."""

    title = serializers.CharField()
    field = serializers.CharField(allow_null=True)


class ImportProblemSerializer(serializers.Serializer[Any]):
    """Why the file could not be read, and what to do."""

    code = serializers.CharField()
    detail = serializers.CharField()


class ImportSerializer(serializers.ModelSerializer[ImportJob]):
    """An import: `reading`, then `shown` with its plan (or `failed`), and once it is applied `running`, then `done`."""

    columns = serializers.SerializerMethodField()
    plan = serializers.DictField(
        source="counts", child=serializers.IntegerField(), help_text=f"Rows by outcome: {', '.join(RowOutcome.values)}."
    )
    results = serializers.SerializerMethodField()
    to_write = serializers.SerializerMethodField(help_text="How many rows applying it writes.")
    organizations = serializers.SerializerMethodField(help_text="Names of organizations that it makes.")
    problem = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="by.username")
    created_at = serializers.DateTimeField(source="made_at")

    class Meta:
        model = ImportJob
        fields = [
            *("id", "entity_type", "file_name", "state", "rows_read", "rows_compared", "columns", "plan", "to_write"),
            *("organizations", "results", "problem", "created_by", "created_at"),
        ]
        read_only_fields = fields

    @extend_schema_field(ImportColumnSerializer(many=True))
    def get_columns(self, job: ImportJob) -> list[dict[str, str | None]]:
        """What each column is read as."""
        fields = job.options.get("fields", [])
        return [
            {"title": title, "field": field or None}
            for (title, _label), field in zip(job.columns, fields, strict=False)
        ]

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField(), help_text="Rows by result."))
    def get_results(self, job: ImportJob) -> dict[str, int]:
        """How many rows were written, left alone, undone."""
        # A list has counted those of all its imports in one query.
        counted = self.context.get("results") or results_of([job])
        return counted[job.pk]

    def get_to_write(self, job: ImportJob) -> int:
        """How many rows applying it writes."""
        return rows_to_write(job)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_organizations(self, job: ImportJob) -> list[str]:
        """The names, in order."""
        return sorted(job.organizations.values())

    @extend_schema_field(ImportProblemSerializer(allow_null=True))
    def get_problem(self, job: ImportJob) -> dict[str, str] | None:
        """Why it could not be read."""
        if job.state != ImportState.FAILED:
            return None
        return {"code": job.reason, "detail": rejection_text(job.file_name, job.reason, job.facts)}


def results_of(jobs: Sequence[ImportJob]) -> dict[UUID, dict[str, int]]:
    """Return how many rows of each import were written, left alone, undone."""
    found: dict[UUID, dict[str, int]] = {job.pk: {} for job in jobs}
    rows = ImportRow.objects.filter(job__in=jobs).exclude(result=Result.WAITING).order_by()
    for job_id, result, number in rows.values_list("job_id", "result").annotate(Count("id")):
        found[job_id][result] = number
    return found


class ImportRowSerializer(serializers.ModelSerializer[ImportRow]):
    """A row of the file: what it comes to, and what became of it; `before` and `after` are values by field."""

    reason = serializers.SerializerMethodField(help_text="Why it isn't imported, and what to do; empty where it is.")

    class Meta:
        model = ImportRow
        fields = ("number", "outcome", "result", "record_id", "name", "before", "after", "reason")
        read_only_fields = fields

    def get_reason(self, row: ImportRow) -> str:
        """What is wrong with it."""
        return row_reason(row)


class ImportRowFilter(FilterSet):  # type: ignore[misc]
    """The filters of an import's rows."""

    outcome = django_filters.MultipleChoiceFilter(choices=RowOutcome.choices, help_text="May be given several times.")
    refused = TrueOrFalse(
        method="by_refusal", label="Refused", help_text="Rows that are not imported: by the plan, or when written."
    )

    def by_refusal(self, queryset: QuerySet[ImportRow], name: str, value: bool) -> QuerySet[ImportRow]:
        """Those that are refused, or all others."""
        refused = rejected_rows(ImportJob.objects.get(pk=self.request.parser_context["kwargs"]["pk"])).values("pk")
        return queryset.filter(pk__in=refused) if value else queryset.exclude(pk__in=refused)


class ImportViewSet(ApiView, viewsets.GenericViewSet[ImportJob]):
    """Imports, for whoever may add and change such records."""

    queryset = ImportJob.objects.select_related("by").order_by("-made_at")
    serializer_class = ImportSerializer
    filterset_class = ImportRowFilter
    paged: ClassVar[tuple[str, ...]] = ("rows",)
    narrowed: ClassVar[tuple[str, ...]] = ("rows",)
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"destroy": (409,)}
    entity_type = ""

    def get_object(self) -> ImportJob:
        """The import; raises PermissionDenied for whoever may not import such records."""
        # Not DRF's own: the filters of this view are for an import's rows.
        job = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
        if not may_import(self.request.user, job.entity_type):
            raise PermissionDenied
        return job

    @extend_schema(
        operation_id="get_import",
        summary="One import",
        description="How far it is, its plan, and what became of its rows.",
        tags=_TAGS,
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """How far it is, and its plan."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        operation_id="list_import_rows",
        summary="The rows of an import",
        description="One page of the file's rows, with what each comes to and why one is refused.",
        responses=ImportRowSerializer(many=True),
        tags=_TAGS,
    )
    def rows(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page of its rows."""
        found = self.filter_queryset(cast("Any", self.get_object().rows.order_by("number")))
        return self.get_paginated_response(ImportRowSerializer(self.paginate_queryset(found) or [], many=True).data)

    @extend_schema(
        operation_id="apply_import",
        summary="Apply an import",
        description="Let a worker write what its plan says; each row only where its record still is as planned.",
        request=None,
        responses={202: ImportSerializer},
        tags=_TAGS,
    )
    def apply(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let a worker write it; 409 where that isn't its next step."""
        job = self.get_object()
        if job.organizations and not may_make_organizations(request.user):
            raise PermissionDenied("It makes organizations, which you may not.")
        if job.state == ImportState.SHOWN and not rows_to_write(job):
            raise Conflict("There is nothing to write. Correct the file and send it again.", code="nothing_to_write")
        if not confirm_import(job, by=cast("User", request.user)):
            raise Conflict(f"It can't be applied: it is {job.get_state_display().lower()}.", code="not_applicable")
        return Response(self.get_serializer(job).data, status=HTTPStatus.ACCEPTED)

    @extend_schema(
        operation_id="undo_import",
        summary="Undo an import",
        description="Let a worker put values back that nobody changed since, and delete the records that it made and "
        "nobody touched.",
        request=None,
        responses={202: ImportSerializer},
        tags=_TAGS,
    )
    def undo(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let a worker undo it; 409 where it isn't written."""
        job = self.get_object()
        if not may_undo(request.user, job):
            raise PermissionDenied
        if not start_undo(job, by=cast("User", request.user)):
            raise Conflict(f"It can't be undone: it is {job.get_state_display().lower()}.", code="not_undoable")
        return Response(self.get_serializer(job).data, status=HTTPStatus.ACCEPTED)

    @extend_schema(
        operation_id="discard_import",
        summary="Discard an import",
        description="Discard it before it is applied; 409 afterwards.",
        responses={204: None},
        tags=_TAGS,
    )
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Discard it; 409 where it was applied."""
        if not discard_import(self.get_object(), by=cast("User", request.user)):
            raise Conflict("It was applied already, so it can't be discarded; you can undo it.", code="not_discardable")
        return Response(status=HTTPStatus.NO_CONTENT)


_IMPORT_FILTERS = ("state", "file_name", "rows_read", "rows_compared")


@filtered_by(ImportJob, _IMPORT_FILTERS)
class ImportFilter(FilterSet):  # type: ignore[misc]
    """The filters of one's imports."""

    entity_type = EntityType(field_name="entity_type", label="Type of records")
    created_since = Moment(field_name="made_at", lookup_expr="gte", help_text="`created_at` at this time or later.")
    created_before = Moment(field_name="made_at", lookup_expr="lt", help_text="`created_at` before this time.")
    ordering = ordering_of(ImportJob, ("entity_type", *_IMPORT_FILTERS), created_at="made_at")


class MayImport(BasePermission):
    """For whoever may import records of some type."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller may."""
        return bool(request.user.is_authenticated) and any(may_import(request.user, one) for one in MODELS)


@extend_schema_view(
    list=extend_schema(
        operation_id="list_imports",
        summary="List one's imports",
        description="Your imports of the last days, also those that you sent on a page, the newest first; of records "
        "that you may import.",
        tags=_TAGS,
    )
)
class ImportListViewSet(ShapedView, viewsets.GenericViewSet[ImportJob]):
    """One's own imports."""

    queryset = ImportJob.objects.select_related("by").order_by("-made_at", "-id")
    serializer_class = ImportSerializer
    filterset_class = ImportFilter
    permission_classes = [MayImport]

    def get_queryset(self) -> QuerySet[ImportJob]:
        """The caller's, of types that they may import."""
        user = self.request.user
        types = [entity_type for entity_type in MODELS if may_import(user, entity_type)]
        return super().get_queryset().filter(by=cast("User", user), entity_type__in=types)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page of them."""
        jobs = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "results": results_of(jobs)}
        return self.get_paginated_response(self.get_serializer(jobs, many=True, context=context).data)


class ImportUpload(ImportViewSet):
    """`POST …/imports`: a file for a worker to read."""

    parser_classes = [MultiPartParser]

    def send(self, request: Request) -> Response:
        """Store it; nothing is written before its plan is applied."""
        if not may_import(request.user, self.entity_type):
            raise PermissionDenied
        body = ImportUploadSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = body.validated_data
        makes = values["make_organizations"]
        if makes and self.entity_type != "contact":
            message = "Contacts name organizations, organizations don't. Leave it out."
            raise serializers.ValidationError({"make_organizations": [message]})
        if makes and not may_make_organizations(request.user):
            raise PermissionDenied("You may not make organizations. Leave make_organizations out.")
        file = values["file"]
        try:
            job = upload(
                self.entity_type,
                file.name,
                file.file,
                options=ImportOptions(values["clear_empty"], makes),
                by=cast("User", request.user),
                encoding=values["encoding"],
            )
        except ImportFileError as error:
            sentence = rejection_of_error(clean_file_name(file.name), error)
            raise serializers.ValidationError({"file": [sentence]}, code=error.code) from error
        job = self.get_queryset().get(pk=job.pk)
        address = request.build_absolute_uri(reverse("import", args=[job.pk]))
        return Response(self.get_serializer(job).data, HTTPStatus.ACCEPTED, headers={"Location": address})


def import_paths() -> Iterator[URLPattern]:
    """The addresses: of each type its door for files, and of every import its steps."""
    for entity_type, model in MODELS.items():
        plural = str(model._meta.verbose_name_plural)
        documented = extend_schema(
            operation_id=f"import_{plural}",
            summary=f"Import {plural} from a file",
            description="Send a CSV or XLSX file; a worker reads it. Follow the import until its state is `shown`, "
            "read its plan and its refused rows, then apply it. Nothing is written before.",
            request={"multipart/form-data": ImportUploadSerializer},
            responses={202: ImportSerializer},
            tags=_TAGS,
        )
        own = {"entity_type": entity_type, "send": documented(own_method(ImportUpload.send))}
        view: Any = type(f"{model.__name__}ImportUpload", (ImportUpload,), own)
        yield from slash_paths(f"{plural}/imports", view.as_view({"post": "send"}), f"{plural}-imports")
    yield path("imports/", ImportListViewSet.as_view({"get": "list"}), name="imports")
    one = ImportViewSet.as_view({"get": "retrieve", "delete": "destroy"})
    yield path("imports/<uuid:pk>/", one, name="import")
    yield path("imports/<uuid:pk>/rows/", ImportViewSet.as_view({"get": "rows"}), name="import-rows")
    for act in ("apply", "undo"):
        yield from slash_paths(f"imports/<uuid:pk>/{act}", ImportViewSet.as_view({"post": act}), f"import-{act}")


class OrganizationFilter(RecordFilter):
    """Filters of organizations."""

    searched: ClassVar[tuple[str, ...]] = ("name", "address_city", "address_country", "notes")


urlpatterns = [*import_paths(), *record_paths(Organization, filters=OrganizationFilter)]
