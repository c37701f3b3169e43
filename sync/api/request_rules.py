"""The rules for every API request: who may ask, which body, query and page are valid; and the view class."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import IO, Any, ClassVar, TypeVar, cast

import django_filters
import pghistory
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.dateparse import parse_datetime
from django.utils.decorators import method_decorator
from django.views.decorators.http import conditional_page
from django_filters import MultipleChoiceFilter
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import exceptions, serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ParseError
from rest_framework.fields import empty
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission, DjangoModelPermissions
from rest_framework.request import Request
from rest_framework.routers import DynamicRoute, SimpleRouter
from rest_framework.views import APIView

from sync import registry
from sync.api.callers import SharedThrottle, StrangerThrottle, check_scope, quotas_of
from sync.api.preconditions import watch_repeats
from sync.api.problems import MEDIA_TYPE, BadQuery
from sync.choices import TokenScope
from sync.kernel.db import LONGEST_SEARCH
from sync.kernel.humanize import shorten
from sync.models import SyncedModel
from sync.records.external_ids import parse_name, records_named


def has_bearer_token(request: HttpRequest, secret: str) -> bool:
    """Whether the request has this bearer secret; compared in constant time, which reveals nothing of it."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    # `compare_digest` takes no text beyond ASCII, which a header may hold.
    given = credentials.strip().encode(errors="replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(given, secret.encode())


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


def allowed(check: Callable[[Any, Any], object]) -> type[BasePermission]:
    """For whoever is signed in and for whom this holds, of the request and the view."""

    class Allowed(BasePermission):
        def has_permission(self, request: Request, view: Any) -> bool:
            return request.user.is_authenticated and bool(check(request, view))

    return Allowed


# What is answered: JSON.


class JsonNegotiation(DefaultContentNegotiation):
    """JSON, also for who accepts problems alone; another format than asked for by the query is a 406, not a 404."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        try:
            chosen: tuple[Any, str] = super().select_renderer(request, renderers, format_suffix)
        except Http404 as unknown:
            raise exceptions.NotAcceptable from unknown
        except exceptions.NotAcceptable:
            # The answer may be no problem; whoever asks for these knows JSON.
            if MEDIA_TYPE not in request.headers.get("Accept", ""):
                raise
            return renderers[0], renderers[0].media_type
        return chosen


# Reading JSON: what can't be stored as text is refused, and so is an unknown field.


MAX_NAMED = 20
"""Unknown fields that a refusal names, because the sender chooses how many there are."""


MAX_NESTING = 50
"""Levels of a body. What else reads it recurses by each, and fails where the parser alone does not yet."""


class StrictJSONParser(JSONParser):
    """JSON; nesting that is too deep, and what can't be stored, are the sender's faults (400)."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            value = super().parse(stream, media_type, parser_context)
            # Half of a surrogate pair passes the parser and fails in the database.
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except RecursionError as error:
            raise TooDeep from error
        except UnicodeEncodeError as error:
            raise ParseError(
                "A text in the JSON holds half of a surrogate pair (\\ud800 to \\udfff), which is no character. "
                "Write the whole character, or leave it out."
            ) from error
        # 1e400 is read as infinite, which would be stored as a word.
        except ValueError as error:
            raise ParseError("A number in the JSON is too large to be read.") from error
        if _is_nested_deeper(value, MAX_NESTING):
            raise TooDeep
        return value


class TooDeep(ParseError):
    """Lists in lists, without an end."""

    default_detail = "The JSON is nested too deeply to be read."


def _is_nested_deeper(value: Any, levels: int) -> bool:
    inner = [value]
    for _ in range(levels):
        lists = [one.values() if isinstance(one, dict) else one for one in inner if isinstance(one, dict | list)]
        inner = [one for values in lists for one in values]
        if not inner:
            return False
    return True


class KnownFieldsMixin(serializers.Serializer[Any]):
    """A body whose unknown fields are refused by name, not ignored."""

    @classmethod
    def read(cls, request: Request) -> dict[str, Any]:
        """Return the valid values of a request's body; raises ValidationError."""
        body = cls(data=request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def to_internal_value(self, data: Any) -> Any:
        self.refuse_unknown(data)
        self._refuse_loose_truth(data)
        return super().to_internal_value(data)

    def refuse_unknown(self, data: Any) -> None:
        """Raise ValidationError that names the unknown fields, the first twenty of many."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
            message = f"There is no such field. Known: {known}."
            raise serializers.ValidationError({name: [message] for name in unknown[:MAX_NAMED]}, code="unknown_field")

    def _refuse_loose_truth(self, data: Any) -> None:
        # REST framework takes 0, "off" and more for it.
        if not isinstance(data, dict):
            return
        errors = {
            name: ["Say true or false."]
            for name, field in self.fields.items()
            if isinstance(field, serializers.BooleanField) and not isinstance(data.get(name), bool | None)
        }
        if errors:
            raise serializers.ValidationError(errors, code="invalid")


# The filters and the order of lists.


MAY_BE_EMPTY = ("search",)


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
        try:
            found: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        # django-filter's error would read as one of the body's fields.
        except exceptions.ValidationError as error:
            raise BadQuery(error.detail) from error
        return found


class TrueOrFalseField(forms.Field):
    """true or false; django-filter's own field takes anything else as "not asked"."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        found = {"true": True, "1": True, "false": False, "0": False}.get(str(value).lower())
        if found is None:
            raise ValidationError("Say true or false.", code="invalid")
        return found


class TrueOrFalse(django_filters.BooleanFilter):  # type: ignore[misc]
    """A filter by a fact that holds or doesn't."""

    field_class = TrueOrFalseField


def parse_moment(text: str | None) -> datetime | None:
    """Return the moment, in UTC, that a text in ISO 8601 with an offset says; None where it says none."""
    try:
        found = parse_datetime(text or "")
        # PostgreSQL takes offsets up to 16 hours, the standard up to 24.
        return found.astimezone(UTC) if found is not None and found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


class MomentField(forms.Field):
    """A moment in ISO 8601 with its offset from UTC: without it, it would be one of two dozen."""

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        found = parse_moment(str(value))
        if found is None:
            raise ValidationError(
                "Say a time with its offset, as 2026-11-22T10:00:00Z. In an address a + is written %%2B.",
                code="invalid",
            )
        return found


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(django_filters.Filter):  # type: ignore[misc]
    """A filter by a moment."""

    field_class = MomentField


def validate_entity_type(value: str) -> None:
    """Raise ValidationError for an unknown type of records."""
    known = [spec.entity_type for spec in registry.entities()]
    if value not in known:
        raise ValidationError(f"There is no such type of records. Known: {', '.join(known)}.", code="unknown")


class EntityType(django_filters.CharFilter):  # type: ignore[misc]
    """A filter by the type of records."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, validators=[validate_entity_type], **kwargs)


def validate_external_id(value: str) -> None:
    """Raise ValidationError for what is no source:value."""
    try:
        parse_name(value)
    except ValueError as wrong:
        raise ValidationError(str(wrong), code="invalid") from wrong


class StableOrdering(django_filters.OrderingFilter):  # type: ignore[misc]
    """Orders by the requested field and then by id, so that each row is on exactly one page."""

    def filter(self, queryset: QuerySet[Model], value: Any) -> QuerySet[Model]:
        once: dict[str, str] = {}  # a cursor's condition grows with each, and a second time orders nothing
        for name in value or ():
            once.setdefault(name.removeprefix("-"), name)
        ordered: QuerySet[Model] = super().filter(queryset, [*once.values()])
        return ordered.order_by(*ordered.query.order_by, "id") if value else ordered


class RecordFilter(FilterSet):  # type: ignore[misc]
    """Filters of every synced record; `searched` names the fields that `search` reads."""

    searched: ClassVar[tuple[str, ...]] = ("name",)

    external_id = django_filters.CharFilter(
        method="called_by_others",
        validators=[validate_external_id],
        label="External id",
        help_text="What another system calls the record, as source:value.",
    )
    search = django_filters.CharFilter(
        method="containing",
        label="Search",
        max_length=LONGEST_SEARCH,
        help_text="Every word must occur in one of the text fields.",
    )
    updated_since = Moment(
        field_name="updated_at",
        lookup_expr="gte",
        help_text="Changed by people or the sync since then, this moment included; deleted ones are not among them.",
    )

    def called_by_others(self, queryset: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        named = records_named(cast("type[SyncedModel]", queryset.model).entity_type(), [parse_name(value)])
        return queryset.filter(pk__in=list(named.values()))

    def containing(self, queryset: QuerySet[Model], name: str, value: str) -> QuerySet[Model]:
        model = cast("type[SyncedModel]", queryset.model)
        for word in value.split():
            queryset = queryset.filter(registry.containing(model, self.searched, word))
        return queryset


# What every API view of this project shares.


class LimitedView(APIView):
    """A view whose requests are counted, those too that are refused, and whose answers say what is left."""

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        if request.user.is_authenticated:
            self._count(request, SharedThrottle())

    def handle_exception(self, exc: Exception) -> Any:
        """Answer a refused stranger, who is counted by address; from too many refusals on with 429."""
        if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            try:
                self._count(self.request, StrangerThrottle())
            except exceptions.Throttled as throttled:
                exc = throttled
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Say on the answer which limits there are and what is left of them."""
        answer: Any = super().finalize_response(request, response, *args, **kwargs)
        if quotas := quotas_of(request):
            answer.headers["RateLimit-Policy"] = ", ".join(quota.policy for quota in quotas)
            answer.headers["RateLimit"] = ", ".join(quota.state for quota in quotas)
        return answer

    def _count(self, request: Request, throttle: SharedThrottle) -> None:
        if not throttle.allow_request(request, self):
            self.throttled(cast("Any", request), cast("Any", throttle.wait()))


@method_decorator(conditional_page, name="dispatch")
class ApiView(LimitedView):
    """JSON only, counted, within its token's scopes, changes recorded with their author, no query parameter ignored;
    what a GET answers has an ETag, and is a 304 where the caller has it already.

    `scope` is what a token needs for all but reading. `paged` and `narrowed` name the actions that answer pages, and
    those that take filters; `problem_codes` HTTP codes of problems beyond the ordinary ones. `unstored` names the
    actions whose answer shows a secret, so that it isn't kept for a repeated request.
    """

    parser_classes = [StrictJSONParser]
    # Without OPTIONS: the schema says what there is.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    content_negotiation_class = JsonNegotiation
    scope = TokenScope.WRITE
    paged: ClassVar[tuple[str, ...]] = ("list",)
    narrowed: ClassVar[tuple[str, ...]] = ("list",)
    problem_codes: tuple[int, ...] = ()
    unstored: ClassVar[tuple[str, ...]] = ()

    def check_permissions(self, request: Request) -> None:
        """Check what the user may do, then what the token is for: never more than its user may."""
        method = str(request.method).lower()
        if request.user.is_authenticated and (
            method not in self.http_method_names or getattr(self, method, None) is None
        ):
            self.http_method_not_allowed(request)  # no action says who may, nor what the query may hold
        super().check_permissions(request)
        check_scope(request, self)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, check the query's parameters, then record in the history context who writes and how.

        The middleware has opened the context for this request, outside any transaction; a token's user is
        known only here.
        """
        super().initial(request, *args, **kwargs)
        check_query(request, self.query_parameters())
        pghistory.context(user=request.user.pk, cause="api")
        watch_repeats(self, request)

    def query_parameters(self) -> dict[str, bool]:
        action, filterset = getattr(self, "action", ""), getattr(self, "filterset_class", None)
        paginator = getattr(self, "pagination_class", None) if action in self.paged else None
        pages = dict.fromkeys(getattr(paginator, "parameters", ()), False)
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


Method = TypeVar("Method", bound=Callable[..., HttpResponseBase])


def act(
    *, request: Any = None, responses: Any = empty, detail: bool = True, path: str = "", **of_view: Any
) -> Callable[[Method], Method]:
    """A POST on one row, or where `detail` isn't on many: the body that it takes, what it answers, the last part of its
    address (else the method's name), and attributes that the view has for it.
    """

    def decorate(method: Method) -> Method:
        address = path or method.__name__.replace("_", "-")
        route: Any = action(detail=detail, methods=["post"], url_path=address, **of_view)
        documented: Callable[[Method], Method] = extend_schema(request=request, responses=responses)
        return documented(route(method))

    return decorate


UUID_REGEX = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


class ApiRouter(SimpleRouter):
    """Routes of view sets; an action's address may end with a slash."""

    routes = [
        one._replace(url=one.url.replace("{trailing_slash}", "/?")) if isinstance(one, DynamicRoute) else one
        for one in SimpleRouter.routes
    ]
