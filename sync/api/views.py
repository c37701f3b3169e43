"""What the views of the API share: who may, what is recorded of a write, pages, order, and how bodies are read."""

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
from rest_framework.views import APIView

from sync import registry

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500


class ModelPermissions(DjangoModelPermissions):
    """As in the admin; unlike in DRF's class, reading needs the permission to view."""

    perms_map = {
        **DjangoModelPermissions.perms_map,
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class MayChange(ModelPermissions):
    """For a POST that acts on an existing row, which needs the permission to change it."""

    perms_map = {**ModelPermissions.perms_map, "POST": ["%(app_label)s.change_%(model_name)s"]}


class HasAnyPermission(BasePermission):
    """For an account with at least one permission; one without any has no business with the API."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user.is_authenticated and request.user.get_all_permissions())


TOO_DEEP = "The JSON is nested too deeply to be read."
# Lists and objects within one another; no field has more than a few, and errors repeat what they refuse.
DEEPEST_BODY = 20


class StorableJSONParser(JSONParser):
    """JSON whose texts the database can store; what isn't is the sender's fault (400), not ours."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
            # Half of a surrogate pair passes the parser.
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError as error:
            raise exceptions.ParseError(TOO_DEEP) from error
        except UnicodeEncodeError as error:
            raise exceptions.ParseError("The JSON holds half of a surrogate pair, which is no character.") from error
        if _is_deeper(value, DEEPEST_BODY):
            raise exceptions.ParseError(TOO_DEEP)
        return value


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    children = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(child, levels - 1) for child in children)


class ApiView(APIView):
    """A view whose writes are recorded with their author."""

    parser_classes = [StorableJSONParser]
    # Without OPTIONS: the schema says what there is.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Record in the history context who writes and how.

        The middleware has opened the context, outside any transaction; a token's user is known only here.
        """
        super().initial(request, *args, **kwargs)
        pghistory.context(user=request.user.pk, cause="api")


class RecordSearch(SearchFilter):
    """Finds records as their lists do."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        term = request.query_params.get(self.search_param, "").replace("\0", "")
        return queryset.filter(registry.searching(queryset.model, self.get_search_fields(view, request) or (), term))


class StableOrdering(OrderingFilter):
    """Equal rows stand in the order of their ids, so that each is on exactly one page."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> Any:
        ordering = super().get_ordering(request, queryset, view)
        return [*ordering, "id"] if ordering else ordering


class ById(CursorPagination):
    """Pages by cursor, in the order of ids: DRF's cursors repeat and skip rows in an order that isn't unique."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        return ("id",)

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValidationError, ValueError) as error:  # its position is no id
            raise exceptions.NotFound(self.invalid_cursor_message) from error


class Pages(PageNumberPagination):
    """Pages by number with their `count`; with `pagination=cursor` by cursor, as fast at the end of the list."""

    page_size = PAGE_SIZE
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE
    cursor: ById | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        if "cursor" in request.query_params or request.query_params.get("pagination") == "cursor":
            self.cursor = ById()
            return self.cursor.paginate_queryset(queryset, request, view)
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response(self, data: Any) -> Response:
        return self.cursor.get_paginated_response(data) if self.cursor else super().get_paginated_response(data)

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        answer: dict[str, Any] = super().get_paginated_response_schema(schema)
        # In words of OpenAPI 3.1: DRF's `nullable` is one of 3.0.
        for neighbour in ("next", "previous"):
            answer["properties"][neighbour] = {"type": ["string", "null"], "format": "uri"}
        answer["required"] = ["next", "previous", "results"]
        answer["properties"]["count"]["description"] = "How many there are; left out of pages by cursor."
        return answer

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        by_cursor = {"type": "string", "enum": ["page", "cursor"]}
        more = [
            _query_parameter("pagination", by_cursor, "`cursor` asks for pages by cursor; follow `next`."),
            _query_parameter("cursor", {"type": "string"}, "Where such a page begins: taken from `next`."),
        ]
        return [*super().get_schema_operation_parameters(view), *more]


def _query_parameter(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}
