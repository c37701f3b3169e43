"""The base of the API's views: permissions, the author of a write, pages, order, and parsing."""

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import IO, Any

import pghistory
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from django_filters.constants import EMPTY_VALUES
from rest_framework import exceptions, serializers
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from sync.clock import parse_moment, readers_mark
from sync.fields import searches
from sync.records import authors

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
PAGINATIONS = ("page", "cursor")


class ModelPermissions(DjangoModelPermissions):
    """DRF's model permissions, but reading needs the permission to view, as in the admin."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class MayChange(ModelPermissions):
    """For a POST that acts on an existing row: it needs the permission to change it."""

    perms_map = {**ModelPermissions.perms_map, "POST": ["%(app_label)s.change_%(model_name)s"]}


class HasAnyPermission(BasePermission):
    """For an account with at least one permission."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_authenticated and request.user.get_all_permissions())


class StorableJSONParser(JSONParser):
    """Parses JSON whose texts the database can store."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        value = super().parse(stream, media_type, parser_context)
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise exceptions.ParseError("The JSON holds half of a surrogate pair, which isn't a character.") from error
        return value


def message_code(column: str) -> serializers.CharField:
    """Return the field with the code of a column's message, empty without one; programs compare it."""
    return serializers.CharField(source=f"{column}.first_code", read_only=True, default="", help_text=f"Of `{column}`.")


class ApiView(APIView):
    """A view whose writes are recorded with their author."""

    # Not in the settings: REST framework imports the parsers named there before its own views, which this module needs.
    parser_classes = [StorableJSONParser]
    # Without OPTIONS, which the schema replaces.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Add the author of a write to the history's context.

        The middleware has opened the context, outside any transaction, but a token's user is only known here.
        """
        super().initial(request, *args, **kwargs)
        pghistory.context(user=request.user.pk, cause=authors.API_CAUSE)


# What filters read, for the sentence about a value that they can't.
READABLE = {
    filters.BooleanFilter: "true, false",
    filters.IsoDateTimeFilter: "a time with its offset, such as 2026-11-22T10:00:00Z",
    filters.UUIDFilter: "an id of a record or a batch",
    filters.ModelChoiceFilter: "the id of a record that exists",
}


class ListFilters(filters.DjangoFilterBackend):  # type: ignore[misc]
    """Filters a list; refuses a parameter that nothing knows, and a value that a filter can't read.

    django-filter would leave out both, and the answer would have all rows.
    """

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        if view.action != "list":
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        # Beside the filters those of the view's search, order and pages, as its schema has them.
        others = [backend() for backend in view.filter_backends if not issubclass(backend, ListFilters)]
        declared = [part.get_schema_operation_parameters(view) for part in (*others, view.paginator)]
        parameters = {*filterset.filters, "format", *(parameter["name"] for parameter in chain(*declared))}
        for name in request.query_params:
            if name not in parameters:
                names = ", ".join(sorted(parameters - {"format"}))
                raise exceptions.ValidationError({name: f"There is no such parameter. There are: {names}."})
            is_multiple = isinstance(filterset.filters.get(name), filters.MultipleChoiceFilter)
            if len(request.query_params.getlist(name)) > 1 and not is_multiple:
                raise exceptions.ValidationError({name: "Send it once."})
        cleaned = filterset.form.cleaned_data if filterset.is_valid() else {}
        for name, list_filter in filterset.filters.items():
            values = request.query_params.getlist(name)
            if values and (name in filterset.errors or cleaned.get(name, "") in EMPTY_VALUES):
                sentence = f"“{values[-1]}” can't be read here. Send {_readable(list_filter)}, or leave “{name}” out."
                raise exceptions.ValidationError({name: sentence})
        filtered: QuerySet[Any] = filterset.qs
        return filtered


def _readable(list_filter: Any) -> str:
    kinds = [text for kind, text in READABLE.items() if isinstance(list_filter, kind)]
    if not kinds and isinstance(list_filter, filters.ChoiceFilter | filters.MultipleChoiceFilter):
        return ", ".join(str(value) for value, _ in list_filter.field.choices if value)
    return kinds[0] if kinds else "a value"


class RecordSearch(SearchFilter):
    """Finds records as their lists in the admin do."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        term = request.query_params.get(self.search_param, "").replace("\0", "")
        names = self.get_search_fields(view, request) or ()
        return queryset.filter(searches.search_condition(queryset.model, names, term))


class StableOrdering(OrderingFilter):
    """Orders equal rows by their ids, so that each row is on exactly one page."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        return [*ordering, "id"] if ordering else ordering

    def remove_invalid_fields(
        self, queryset: QuerySet[Any], fields: Iterable[str], view: APIView, request: Request
    ) -> Any:
        """Refuse a field that isn't known; REST framework would leave it out."""
        names = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        if unknown := [field for field in fields if field.removeprefix("-") not in names]:
            sentence = f"“{unknown[0]}” can't be ordered by. Send {', '.join(names)}, with “-” before it to descend."
            raise exceptions.ValidationError({self.ordering_param: sentence})
        return fields


class RecordOrdering(StableOrdering):
    """Orders records by their texts as the lists in the admin do."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        return [searches.sort_expression(queryset.model, part) if isinstance(part, str) else part for part in ordering]


class IdCursorPagination(CursorPagination):
    """Pages by cursor, in the order of ids: DRF's cursors repeat and skip rows if the order isn't unique."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        return ("id",)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, ValueError) as error:  # the cursor's position isn't an id
            raise exceptions.NotFound(self.invalid_cursor_message) from error


class Pages(PageNumberPagination):
    """Pages by number with a `count`; with `pagination=cursor` by cursor, which is fast on late pages, too."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    cursor: IdCursorPagination | None = None
    mark = ""  # the moment since which a program reads the next time

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        kind = request.query_params.get("pagination", "page")
        if kind not in PAGINATIONS:
            raise exceptions.ValidationError({"pagination": f"Send {' or '.join(PAGINATIONS)}, or leave it out."})
        size = request.query_params.get("page_size", "1")
        if not (size.isascii() and size.isdecimal() and size.strip("0")):
            raise exceptions.ValidationError({"page_size": f"Send a number from 1 to {MAX_PAGE_SIZE}."})
        # Before the rows are read. Further pages have the mark of the first, by the parameter in their addresses.
        mark = request.query_params.get("mark")
        moment = readers_mark() if mark is None else parse_moment(mark)
        if moment is None:
            raise exceptions.ValidationError({"mark": "This is no mark. Follow `next` as it is, or leave it out."})
        self.mark = moment.isoformat().replace("+00:00", "Z")
        if "cursor" in request.query_params or kind == "cursor":
            if "page" in request.query_params:
                raise exceptions.ValidationError({"page": "Pages by cursor have no numbers. Follow `next`."})
            self.cursor = IdCursorPagination()
            return self.cursor.paginate_queryset(queryset, request, view)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        response = self.cursor.get_paginated_response(data) if self.cursor else super().get_paginated_response(data)
        for neighbour in ("next", "previous"):
            if response.data[neighbour]:
                response.data[neighbour] = replace_query_param(response.data[neighbour], "mark", self.mark)
        response.data["mark"] = self.mark
        response["X-Mark"] = self.mark
        return response

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().get_paginated_response_schema(schema)
        # OpenAPI 3.1 has no `nullable`, which DRF's schema uses.
        for neighbour in ("next", "previous"):
            answer["properties"][neighbour] = {"type": ["string", "null"], "format": "uri"}
        answer["properties"]["mark"] = {
            "type": "string",
            "format": "date-time",
            "description": "What has changed since is in the next read with it as `updated_since`, or `since`.",
        }
        answer["required"] = ["next", "previous", "results", "mark"]
        return answer

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        kinds = {"type": "string", "enum": list(PAGINATIONS)}
        more = [
            _query_parameter("pagination", kinds, "`cursor` for pages by cursor; follow `next`."),
            _query_parameter("cursor", {"type": "string"}, "The start of such a page, from `next`."),
            _query_parameter("mark", {"type": "string", "format": "date-time"}, "The first page's mark, from `next`."),
        ]
        return [*super().get_schema_operation_parameters(view), *more]


def _query_parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
