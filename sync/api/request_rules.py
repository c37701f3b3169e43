"""The rules for every API request: who may ask and how often, which body, query and page are valid; and the
view class that applies them.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import reduce
from math import ceil
from operator import or_
from typing import IO, Any, ClassVar, cast

import django_filters
import pghistory
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path
from django_filters import MultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework import exceptions, serializers
from rest_framework.exceptions import ParseError
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from sync import registry
from sync.api.problems import BadQuery
from sync.choices import RecordSyncStatus
from sync.kernel.humanize import shorten
from sync.models.outbox_row import QueueAction, is_allowed


def has_bearer_token(request: HttpRequest, secret: str) -> bool:
    """Whether the request has this bearer secret; compared in constant time, which reveals nothing of it."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    # `compare_digest` takes no text beyond ASCII, which a header may hold.
    given = credentials.strip().encode(errors="replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, secret.encode())


# How often a user may ask; the rates are settings (API_THROTTLE, SYNC_NOW_THROTTLE).


class SyncNowThrottle(UserRateThrottle):
    """Pushes of single records, per user: each may cost calls of Monday's quota."""

    scope = "sync-to-monday"


# How often a person may make us call Monday from a page: such a call goes before all others, so it has the
# rate of pushes.


def monday_throttle_reason(request: HttpRequest) -> str:
    """The reason why Monday isn't called for this person now.

    Where it may be, count the call and return "".
    """
    throttle = SyncNowThrottle()
    if throttle.allow_request(cast("Any", request), cast("Any", None)):
        return ""
    return f"You have asked Monday very often just now. Try again in {ceil(throttle.wait() or 60)} s."


# Who may do what: the model permissions that also rule the admin.


_VIEW = ["%(app_label)s.view_%(model_name)s"]
_CHANGE = ["%(app_label)s.change_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """As in the admin; unlike in DRF's class, reading needs the permission to view."""

    # DRF's class lets everybody with an account read.
    perms_map = {**DjangoModelPermissions.perms_map, "GET": _VIEW, "HEAD": _VIEW}


class MayChange(ModelPermissions):
    """For POST actions on existing objects, which need the permission to change them."""

    perms_map = {**ModelPermissions.perms_map, "POST": _CHANGE}


class MayOperateQueue(BasePermission):
    """For one action on the queue, by its own permission."""

    def __init__(self, act: QueueAction) -> None:
        self.act = act

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller is known and may do it."""
        return bool(request.user.is_authenticated) and is_allowed(request.user, self.act)


# Reading JSON: what can't be stored as text is refused, and so is an unknown field.


MAX_NAMED = 20
"""Unknown fields that a refusal names, because the sender chooses how many there are."""


class StrictJSONParser(JSONParser):
    """JSON; nesting that is too deep and text that can't be stored are the sender's faults (400)."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The body's value; raises ParseError (400)."""
        try:
            value = super().parse(stream, media_type, parser_context)
            # Half of a surrogate pair passes the parser and fails in the database.
            json.dumps(value, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply to be read.") from error
        except UnicodeEncodeError as error:
            raise ParseError(
                "A text in the JSON holds half of a surrogate pair (\\ud800 to \\udfff), which is no character. "
                "Write the whole character, or leave it out."
            ) from error
        return value


class KnownFieldsMixin(serializers.Serializer[Any]):
    """A body whose unknown fields are refused by name, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """The values, of known fields."""
        self.refuse_unknown(data)
        return super().to_internal_value(data)

    def refuse_unknown(self, data: Any) -> None:
        """Raise ValidationError that names the unknown fields, the first twenty of many."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
            message = f"There is no such field. Known: {known}."
            raise serializers.ValidationError({name: [message] for name in unknown[:MAX_NAMED]}, code="unknown_field")


# The filters and the order of lists.


MAY_BE_EMPTY = ("search",)
ORDERED_BY = ("name", "created_at", "updated_at", "monday_last_synced", "sync_status")
MAX_SEARCH_WORDS = 10  # of a search; each costs a comparison of every row


def check_query(request: Request, known: Mapping[str, bool]) -> None:
    """Raise BadQuery for parameters that would be ignored: the whole list would look like the requested part.

    `known` names the endpoint's parameters, and whether one may be given several times.
    """
    errors = {
        shorten(name, 100): [problem]
        for name, values in request.query_params.lists()
        if (problem := _parameter_problem(name, values, known))
    }
    if errors:
        raise BadQuery(errors, code="bad_parameter")


def _parameter_problem(name: str, values: Collection[str], known: Mapping[str, bool]) -> str:
    if name not in known:
        names = ", ".join(one for one in known if one != "format")
        return f"There is no such parameter here. {f'Known: {names}.' if names else 'There are none.'}"
    if len(values) > 1 and not known[name]:
        return "This is given several times, and can be given once. Ask once for each value."
    if name not in MAY_BE_EMPTY and not all(value.strip() for value in values):
        return "This is empty. Give it a value or leave it out."
    return ""


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]
    """Filters whose invalid values are refused as query parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """The queryset, narrowed; raises BadQuery."""
        try:
            found: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        # django-filter's error would read as one of the body's fields.
        except exceptions.ValidationError as error:
            raise BadQuery(error.detail) from error
        return found


class TrueOrFalseField(forms.Field):
    """true or false; django-filter's own field takes anything else as "not asked"."""

    def to_python(self, value: Any) -> bool | None:
        """The value; raises ValidationError."""
        if value in self.empty_values:
            return None
        found = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if found is None:
            raise ValidationError("Say true or false.", code="invalid")
        return found


class TrueOrFalse(django_filters.BooleanFilter):  # type: ignore[misc]
    """A filter by a fact that holds or doesn't."""

    field_class = TrueOrFalseField


def validate_entity_type(value: str) -> None:
    """Raise ValidationError for an unknown type of records."""
    known = [spec.entity_type for spec in registry.entities()]
    if value not in known:
        raise ValidationError(f"There is no such type of records. Known: {', '.join(known)}.", code="unknown")


class EntityType(django_filters.CharFilter):  # type: ignore[misc]
    """A filter by the type of records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, validators=[validate_entity_type], **kwargs)


class StableOrdering(django_filters.OrderingFilter):  # type: ignore[misc]
    """Orders by the requested field and then by id, so that each row is on exactly one page."""

    def filter(self, queryset: QuerySet[Model], value: Any) -> QuerySet[Model]:
        """The queryset in its order."""
        ordered: QuerySet[Model] = super().filter(queryset, value)
        return ordered.order_by(*ordered.query.order_by, "id") if value else ordered


class RecordFilter(FilterSet):  # type: ignore[misc]
    """Filters of every synced record; `searched` names the fields that `search` reads."""

    searched: ClassVar[tuple[str, ...]] = ("name",)

    sync_status = django_filters.MultipleChoiceFilter(
        choices=RecordSyncStatus.choices, help_text="May be given several times."
    )
    search = django_filters.CharFilter(
        method="containing", label="Search", help_text="Every word must occur in one of the text fields."
    )
    ordering = StableOrdering(fields=[(name, name) for name in ORDERED_BY])

    def containing(self, queryset: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        """Records in which every word of `value` occurs."""
        for word in value.split()[:MAX_SEARCH_WORDS]:
            found = (Q(**{f"{field}__icontains": word}) for field in self.searched)
            queryset = queryset.filter(reduce(or_, found))
        return queryset


# Pages of lists.


_NUMBER = re.compile("0*[1-9][0-9]{0,8}")


class PagePagination(PageNumberPagination):
    """`{count, next, previous, results}`.

    A `page_size` over 500 is cut to 500, one that is no number is refused.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """The requested page; raises BadQuery (400), and NotFound where there is no such page."""
        params = {name: request.query_params.get(name) for name in (self.page_query_param, "page_size")}
        errors = {
            name: ["This is no whole number from 1 on."]
            for name, value in params.items()
            if value is not None and not _NUMBER.fullmatch(value) and (name, value) != ("page", "last")
        }
        if errors:
            raise BadQuery(errors, code="invalid")
        return super().paginate_queryset(queryset, request, view)


# What every API view of this project shares.


class ApiView(APIView):
    """JSON only, changes recorded with their author, and no query parameter ignored.

    `problem_codes` maps an action to the HTTP codes of problems beyond the ordinary ones; `paged` and
    `narrowed` name the actions that answer pages, and those that take filters.
    """

    parser_classes = [StrictJSONParser]
    paged: ClassVar[tuple[str, ...]] = ("list",)
    narrowed: ClassVar[tuple[str, ...]] = ("list",)
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, check the query's parameters, then record in the history context who writes and how.

        The middleware has opened the context for this request, outside any transaction; a token's user is
        known only here.
        """
        super().initial(request, *args, **kwargs)
        check_query(request, self.query_parameters())
        pghistory.context(user=request.user.pk, cause="api")

    def query_parameters(self) -> dict[str, bool]:
        """The parameters of this action, and for each whether it may be given several times."""
        action, filterset = getattr(self, "action", ""), getattr(self, "filterset_class", None)
        pages = {"page": False, "page_size": False} if action in self.paged else {}
        filters = filterset.base_filters if filterset and action in self.narrowed else {}
        several = {name: isinstance(one, MultipleChoiceFilter) for name, one in filters.items()}
        return {**several, **pages, "format": False}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters apply to lists and to actions on all that match; a single row is named by its id alone."""
        found: QuerySet[Any] = (
            super().filter_queryset(queryset)  # type: ignore[misc]  # of the view sets, which have filters
            # A row named by its id must be found whatever the query's filters say.
            if getattr(self, "action", "") in self.narrowed
            else queryset
        )
        return found


def with_slash(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """The same view for the address with a slash at its end; the schema lists only the one without."""

    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(request, *args, **kwargs)

    wrapper.csrf_exempt = True  # type: ignore[attr-defined]  # DRF checks CSRF itself, for sessions only
    return wrapper


def slash_paths(address: str, view: Callable[..., HttpResponseBase], name: str) -> list[URLPattern]:
    """The address without and with a slash at its end."""
    return [path(address, view, name=name), path(f"{address}/", with_slash(view))]
