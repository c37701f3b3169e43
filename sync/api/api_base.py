"""The base of the API's views: permissions, the author of a write, pages, order, and parsing."""

import json
from collections.abc import Mapping
from typing import IO, Any

import pghistory
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework import exceptions
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from sync import registry
from sync.clock import parse_moment, readers_mark

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


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
        pghistory.context(user=request.user.pk, cause="api")


class RecordSearch(SearchFilter):
    """Finds records as their lists in the admin do."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        term = request.query_params.get(self.search_param, "").replace("\0", "")
        names = self.get_search_fields(view, request) or ()
        return queryset.filter(registry.search_condition(queryset.model, names, term))


class StableOrdering(OrderingFilter):
    """Orders equal rows by their ids, so that each row is on exactly one page."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        return [*ordering, "id"] if ordering else ordering


class RecordOrdering(StableOrdering):
    """Orders records by their texts as the lists in the admin do."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        return [registry.sort_expression(queryset.model, part) if isinstance(part, str) else part for part in ordering]


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
        # Before the rows are read. Further pages have the mark of the first, by the parameter in their addresses.
        mark = request.query_params.get("mark")
        moment = readers_mark() if mark is None else parse_moment(mark)
        if moment is None:
            raise exceptions.ValidationError({"mark": "This is no mark. Follow `next` as it is, or leave it out."})
        self.mark = moment.isoformat().replace("+00:00", "Z")
        if "cursor" in request.query_params or request.query_params.get("pagination") == "cursor":
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
        kinds = {"type": "string", "enum": ["page", "cursor"]}
        more = [
            _query_parameter("pagination", kinds, "`cursor` for pages by cursor; follow `next`."),
            _query_parameter("cursor", {"type": "string"}, "The start of such a page, from `next`."),
            _query_parameter("mark", {"type": "string", "format": "date-time"}, "The first page's mark, from `next`."),
        ]
        return [*super().get_schema_operation_parameters(view), *more]


def _query_parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
