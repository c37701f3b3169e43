"""What a list can be asked for: its filters and order, made from its model; its pages, by number or by cursor; and
which fields, and whose related records, an answer holds.

One style of names for the whole API: a field's own name filters by its value; a time's name without `_at`, or a day's,
with `_since` (included) or `_before` (not included) cuts a range, as `_min` and `_max` (both included) do of an amount.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar, cast

import django_filters
from django import forms
from django.contrib.postgres.fields import ArrayField
from django.core import signing
from django.core.validators import validate_ipv46_address
from django.db import models
from django.db.models import Q, QuerySet, Value
from django.db.models.expressions import OrderBy
from django.db.models.functions import Lower
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from sync import registry
from sync.api.problems import BadQuery
from sync.api.request_rules import ApiView, EntityType, Moment, StableOrdering, TrueOrFalse
from sync.kernel.db import OneScanPaginator
from sync.models import SyncedModel
from sync.reconcile.lookups import canonical_expression, canonical_value
from sync.registry import may_view

# Filters and order, made from the model.


class WholeNumber(django_filters.NumberFilter):  # type: ignore[misc]
    """A filter by a whole number; what the column can't hold is refused."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"min_value": -(2**31), "max_value": 2**31 - 1} | kwargs)


Day = partial(django_filters.DateFilter, input_formats=["%Y-%m-%d"])
"""A filter by a day in ISO 8601: of another order of its parts it would be one of two."""


class SaidAsMatched(django_filters.CharFilter):  # type: ignore[misc]
    """A filter by the field that records and items are matched by, compared as the sync compares it."""

    def filter(self, queryset: QuerySet[Any], value: Any) -> QuerySet[Any]:
        if not value:
            return queryset
        key = str(canonical_value(queryset.model.entity_type(), self.field_name, value))
        if not key:
            return queryset.none()
        matched: QuerySet[Any] = queryset.alias(said_as_matched=Lower(canonical_expression(self.field_name)))
        return matched.filter(said_as_matched=Lower(Value(key)))


Filters = dict[str, django_filters.Filter]


def filters_of(model: type[models.Model], columns: Mapping[str, str], *, matched: str | None = None) -> Filters:
    """The filters of these columns, each by the name that it has here, by what it holds; of JSON there is none.

    `matched` is the one that is compared as the sync compares it.
    """
    found: Filters = {}
    for name, column in columns.items():
        field = model._meta.get_field(column)
        assert isinstance(field, models.Field)
        given = {"field_name": column, "label": str(field.verbose_name).capitalize()}
        if column == "entity_type":
            found[name] = EntityType(**given)
        elif column == matched:
            said = "Compared as the sync compares it: without spaces around it, in any case."
            found[name] = SaidAsMatched(help_text=said, **given)
        elif isinstance(field, models.DateField):
            is_moment = isinstance(field, models.DateTimeField)
            made, what = (Moment, "time") if is_moment else (Day, "day")
            stem = name.removesuffix("_at") if is_moment else name
            found |= {} if is_moment else {name: Day(**given)}
            said = f"`{name}` at this {what} or later."
            found[f"{stem}_since"] = made(lookup_expr="gte", help_text=said, **given)
            found[f"{stem}_before"] = made(lookup_expr="lt", help_text=f"`{name}` before this {what}.", **given)
        elif (one := _filter_by_value(field, given)) is not None:
            found[name] = one
            if isinstance(field, models.DecimalField | models.FloatField) and not field.choices:
                for end, lookup, word in (("min", "gte", "more"), ("max", "lte", "less")):
                    said = f"`{name}` of this or {word}."
                    found[f"{name}_{end}"] = django_filters.NumberFilter(lookup_expr=lookup, help_text=said, **given)
    return found


def _filter_by_value(field: Any, given: dict[str, str]) -> django_filters.Filter | None:
    given = {**given, "field_name": field.get_attname()}
    if isinstance(field, models.JSONField):
        return None
    if field.choices:
        said = "May be given several times."
        return django_filters.MultipleChoiceFilter(choices=[*field.choices], help_text=said, **given)
    if isinstance(field, ArrayField):
        return django_filters.CharFilter(method=_has_among, help_text="One of its values.", **given)
    kinds: dict[type[Any], Any] = {
        models.UUIDField: django_filters.UUIDFilter,
        models.BooleanField: TrueOrFalse,
        models.BigIntegerField: partial(WholeNumber, min_value=-(2**63), max_value=2**63 - 1),
        models.IntegerField: WholeNumber,
        **dict.fromkeys((models.DecimalField, models.FloatField), django_filters.NumberFilter),
        models.GenericIPAddressField: partial(django_filters.CharFilter, validators=[validate_ipv46_address]),
        **dict.fromkeys((models.CharField, models.TextField), django_filters.CharFilter),
    }
    holds = field.target_field if field.is_relation else field
    made = next((kinds[kind] for kind in kinds if isinstance(holds, kind)), None)
    if made is None:
        # Of kinds that no list here has: a time of day, a duration.
        made, more = FilterSet.filter_for_lookup(field, "exact")
        given |= more
    return made(**given) if made else None


def _has_among(queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
    return queryset.filter(**{f"{name}__contains": [value]})


FilterClass = TypeVar("FilterClass", bound=type[FilterSet])


def filtered_by(
    serializer: type[serializers.ModelSerializer[Any]], *, order: bool = True
) -> Callable[[FilterClass], FilterClass]:
    """Add to a class the filters of every column that these answers show, and the order by them."""
    model, columns = serializer.Meta.model, columns_of(serializer)
    made: Filters = {**filters_of(model, columns), **({"ordering": ordering_of(model, columns)} if order else {})}

    def extend(base: FilterClass) -> FilterClass:
        more = {name: one for name, one in made.items() if name not in base.base_filters}
        return cast("FilterClass", type(base.__name__, (base,), {"__doc__": base.__doc__, **more}))

    return extend


def columns_of(serializer: Any) -> dict[str, str]:
    """The column of each member of an answer that is one, but for JSON."""
    fields = serializer.Meta.model._meta.concrete_fields
    columns = {field.name for field in fields if not isinstance(field, models.JSONField)}
    sources = {name: one.source or name for name, one in serializer._declared_fields.items()}
    shown = {name: str(sources.get(name, name)) for name in serializer.Meta.fields}
    return {name: column for name, column in shown.items() if column in columns}


def ordering_of(model: type[models.Model], columns: Mapping[str, str]) -> StableOrdering:
    """The order by any of these columns that has one, by the name that it has here."""
    ordered = {name: column for name, column in columns.items() if _has_order(model._meta.get_field(column))}
    return StableOrdering(fields=[(column, name) for name, column in ordered.items()])


def _has_order(field: Any) -> bool:
    # Long texts and lists have no order that anybody asks for.
    return not field.is_relation and not isinstance(field, _UNORDERED)


_UNORDERED = (models.JSONField, ArrayField, models.UUIDField, models.TextField)


# Pages by cursor: each continues behind the last row of the one before, wherever that stands by now.


CURSOR_SALT = "api.cursor"
NO_CURSOR = "This is no cursor of this list with these filters and this order. Begin again with pagination=cursor."
WHAT_NARROWS = frozenset({"cursor", "pagination", "page", "page_size", "fields", "expand", "format"})


@dataclass(frozen=True)
class OrderTerm:
    """One column of an order."""

    field: models.Field[Any, Any]
    descending: bool
    nulls_first: bool

    @classmethod
    def of(cls, model: type[models.Model], item: Any) -> OrderTerm:
        """One of a query's `order_by`: a name, or a column with a direction."""
        if isinstance(item, OrderBy):
            column: Any = item.expression
            name, descending = column.name, item.descending
            nulls_first = bool(item.nulls_first or (descending and not item.nulls_last))
        else:
            name, descending = str(item).removeprefix("-"), str(item).startswith("-")
            nulls_first = descending  # as PostgreSQL sorts
        field = model._meta.pk if name == "pk" else model._meta.get_field(name)
        assert isinstance(field, models.Field)
        return cls(field, descending, nulls_first)

    @property
    def name(self) -> str:
        return self.field.get_attname()

    def same(self, value: Any) -> Q:
        return Q(**{f"{self.name}__isnull": True}) if value is None else Q(**{self.name: value})

    def behind(self, value: Any, *, or_same: bool = False) -> Q:
        """Rows behind this value; with `or_same` those with it, too."""
        if value is None:
            nulls = Q(**{f"{self.name}__isnull": True}) if or_same else Q(pk__in=[])
            return (nulls | Q(**{f"{self.name}__isnull": False})) if self.nulls_first else nulls
        lookup = ("lt" if self.descending else "gt") + ("e" if or_same else "")
        found = Q(**{f"{self.name}__{lookup}": value})
        return found | Q(**{f"{self.name}__isnull": True}) if self.field.null and not self.nulls_first else found


def rows_behind(terms: Sequence[OrderTerm], values: Sequence[Any]) -> Q:
    """The condition of all rows behind the one with these values, in an order that no two rows share."""
    [first, *rest], [value, *others] = terms, values
    found = first.behind(value)
    if not rest:
        return found
    # The first part alone is what an index can begin at; the second leaves out the rows before, within one value.
    return first.behind(value, or_same=True) & (found | (first.same(value) & rows_behind(rest, others)))


_NUMBER = re.compile("0*[1-9][0-9]{0,8}")


class Pages(PageNumberPagination):
    """Pages by number with their `count`; or by cursor, without it: as fast at the end of the list as at its beginning.

    By cursor each row that keeps its place is given exactly once, whatever is added, changed or deleted meanwhile. A
    `page_size` over 500 is refused, as one that is no number.
    """

    parameters: ClassVar[tuple[str, ...]] = ("page", "page_size", "pagination", "cursor")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
    by_cursor = False
    after: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """The requested page; raises BadQuery (400), and NotFound where there is no such page."""
        asked = request.query_params
        self.by_cursor = "cursor" in asked or asked.get("pagination") == "cursor"
        errors = {
            name: ["This is no whole number from 1 on."]
            for name in ("page", "page_size")
            if (value := asked.get(name)) is not None and not _NUMBER.fullmatch(value)
            if (name, value) != ("page", "last")
        }
        if "page_size" not in errors and int(asked.get("page_size") or 1) > self.max_page_size:
            errors["page_size"] = [f"A page has {self.max_page_size} rows at most. Ask for fewer, and for more pages."]
        if asked.get("pagination", "page") not in ("page", "cursor"):
            errors["pagination"] = ["Say page or cursor."]
        if "cursor" in asked and asked.get("pagination") == "page":
            errors["cursor"] = ["A cursor belongs to pagination=cursor."]
        if self.by_cursor and "page" in asked:
            errors["page"] = ["Pages by cursor have no numbers. Leave out page, or cursor and pagination."]
        if errors:
            raise BadQuery(errors, code="invalid")
        if self.by_cursor:
            self.request = request
            return self._rows_behind_cursor(queryset, request)
        if asked.get("search"):
            self.django_paginator_class = OneScanPaginator
        return super().paginate_queryset(queryset, request, view)

    def _rows_behind_cursor(self, queryset: QuerySet[Any], request: Request) -> list[Any]:
        order = [*(queryset.query.order_by or queryset.model._meta.ordering)]
        terms = [OrderTerm.of(queryset.model, one) for one in order]
        if not any(one.field.unique and not one.field.null for one in terms):
            terms.append(OrderTerm.of(queryset.model, "pk"))
            queryset = queryset.order_by(*order, "pk")
        size = self.get_page_size(request) or self.page_size
        if (text := request.query_params.get("cursor")) is not None:
            queryset = queryset.filter(rows_behind(terms, self._values_of(text, terms, request)))
        rows = list(queryset[: size + 1])
        if len(rows) > size:
            rows.pop()
            values = [one.field.value_to_string(rows[-1]) if getattr(rows[-1], one.name) is not None else None
                      for one in terms]  # fmt: skip
            self.after = signing.dumps([_list_of(request), values], salt=CURSOR_SALT, compress=True)
        return rows

    def _values_of(self, text: str, terms: Sequence[OrderTerm], request: Request) -> list[Any]:
        try:
            asked_of, values = signing.loads(text, salt=CURSOR_SALT)
        except (signing.BadSignature, ValueError) as error:
            raise BadQuery({"cursor": [NO_CURSOR]}, code="invalid") from error
        if asked_of != _list_of(request) or len(values) != len(terms):
            raise BadQuery({"cursor": [NO_CURSOR]}, code="invalid")
        return [one.field.to_python(value) for one, value in zip(terms, values, strict=True)]

    def get_next_link(self) -> str | None:
        if not self.by_cursor:
            found: str | None = super().get_next_link()
            return found
        here = remove_query_param(self.request.build_absolute_uri(), "pagination")  # type: ignore[union-attr]
        return replace_query_param(here, "cursor", self.after) if self.after else None

    def get_paginated_response(self, data: Any) -> Response:
        following = self.get_next_link()
        if self.by_cursor:
            preceding, answer = None, Response({"next": following, "previous": None, "results": data})
        else:
            preceding, answer = self.get_previous_link(), super().get_paginated_response(data)
        links = {"next": following, "prev": preceding}
        if header := ", ".join(f'<{link}>; rel="{name}"' for name, link in links.items() if link):
            answer["Link"] = header
        return answer

    def get_paginated_response_schema(self, schema: Any) -> Any:
        found = super().get_paginated_response_schema(schema)
        # In words of OpenAPI 3.1: DRF's `nullable` is one of 3.0.
        for neighbour in ("next", "previous"):
            found["properties"][neighbour] = {"type": ["string", "null"], "format": "uri"}
        if "cursor" in self.parameters:
            found["required"] = ["results"]
            found["properties"]["count"]["description"] = "How many there are; left out of pages by cursor."
        return found

    def get_schema_operation_parameters(self, view: Any) -> Any:
        about = {
            "pagination": "`cursor` asks for pages by cursor; follow `next`. They have no `count`, cost the same "
            "wherever in the list, and skip and repeat nothing when the list changes meanwhile.",
            "cursor": "Where such a page begins: taken from `next`, with the same filters and order.",
        }
        more = [
            {"name": name, "required": False, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in about.items()
        ]
        more[0]["schema"] = {"type": "string", "enum": ["page", "cursor"]}
        by_number = super().get_schema_operation_parameters(view)
        size = next(one for one in by_number if one["name"] == self.page_size_query_param)
        size["schema"] |= {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [*by_number, *more] if "cursor" in self.parameters else by_number


def _list_of(request: Request) -> str:
    """What a cursor belongs to: the list, its filters and order."""
    narrowing = sorted((name, values) for name, values in request.query_params.lists() if name not in WHAT_NARROWS)
    return hashlib.sha256(repr((request.path, narrowing)).encode()).hexdigest()[:16]


# Which fields an answer holds, and whose related records.


class ShapedView(ApiView):
    """A view whose answers can be cut to some fields (`fields=`) and filled with related records (`expand=`).

    `shaped` names the actions, `expandable` the relations, `nested` gives their serializer by model.
    """

    shaped: ClassVar[tuple[str, ...]] = ("list", "retrieve")
    expandable: ClassVar[tuple[str, ...]] = ()

    def query_parameters(self) -> dict[str, bool]:
        more = ("fields", *(("expand",) if self.expandable else ()))
        return super().query_parameters() | (dict.fromkeys(more, False) if self.is_shaped else {})

    @property
    def is_shaped(self) -> bool:
        return getattr(self, "action", "") in self.shaped

    def named_in(self, parameter: str, known: Collection[str]) -> list[str]:
        """The names that a parameter lists, separated by commas; raises BadQuery for one that isn't known."""
        given = self.request.query_params.get(parameter) if self.is_shaped else None
        names = [] if given is None else [*dict.fromkeys(name.strip() for name in given.split(","))]
        if unknown := [name for name in names if name not in known]:
            named = ", ".join(f"“{name[:100]}”" for name in unknown[:20])
            raise BadQuery({parameter: [f"Not known here: {named}. Known: {', '.join(known)}."]}, code="unknown")
        return names

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        serializer: Any = super().get_serializer(*args, **kwargs)  # type: ignore[misc]  # of the view sets
        one = getattr(serializer, "child", serializer)
        if self.is_shaped and "fields" in self.request.query_params:
            names = self.named_in("fields", list(one.fields))
            for name in set(one.fields) - set(names):
                one.fields.pop(name)
        return serializer

    def expanded_serializers(self) -> Mapping[str, Any]:
        return {}

    def shape_parameters(self) -> list[OpenApiParameter]:
        """What the schema says of `fields` and `expand`, where this action has them."""
        if not self.is_shaped:
            return []
        said = "Only these fields, separated by commas, as `name,email`; without it, all."
        serializer: Any = self.get_serializer()
        found = [OpenApiParameter("fields", _names_of(serializer.fields), description=said)]
        if self.expandable:
            said = (
                f"The record in place of its id, for these fields, separated by commas: {', '.join(self.expandable)}."
            )
            found.append(OpenApiParameter("expand", _names_of(self.expandable), description=said))
        return found


def _names_of(known: Iterable[str]) -> dict[str, Any]:
    """The shape of a text that lists some of these names."""
    one = f"({'|'.join(known)})"
    return {"type": "string", "pattern": f"^{one}(,{one})*$"}


NOT_EXPANDED = ("sync", "external_ids")
"""What a nested record doesn't say, for other tables hold it."""


def expand(
    rows: Sequence[dict[str, Any]],
    records: Sequence[SyncedModel],
    names: Sequence[str],
    nested_by: Mapping[type[SyncedModel], Any],
    user: Any,
) -> None:
    """Put related records in place of their ids, in one query for each name; raises PermissionDenied.

    `rows` are the records as answered. A nested record says what it is itself, not how its sync stands.
    """
    for name in names:
        field: Any = type(records[0])._meta.get_field(name) if records else None
        if field is None:
            return
        target = registry.target_of(field)
        if not may_view(user, target._meta.label_lower):
            raise PermissionDenied(f"You may not see {target._meta.verbose_name_plural}. Leave out expand={name}.")
        found = target._default_manager.in_bulk({getattr(one, field.attname) for one in records} - {None})
        nested = nested_by[target](list(found.values()), many=True)
        for left_out in NOT_EXPANDED:
            nested.child.fields.pop(left_out)
        answered = dict(zip(found, nested.data, strict=True))
        for row, record in zip(rows, records, strict=True):
            row[name] = answered.get(getattr(record, field.attname))
