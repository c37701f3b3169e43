"""What lists can be narrowed by, and their order."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, ClassVar

import django_filters
from django.db.models import Model, Q, QuerySet
from django_filters.rest_framework import FilterSet

from sync.choices import RecordSyncStatus

ORDERED_BY = ("name", "created_at", "updated_at", "monday_last_synced", "sync_status")
WORDS_SEARCHED = 10  # of a search; each costs a comparison of every row


class StableOrdering(django_filters.OrderingFilter):  # type: ignore[misc]
    """Orders by the field asked for and then by id, so that no row is on two pages or on none."""

    def filter(self, queryset: QuerySet[Model], value: Any) -> QuerySet[Model]:
        """The queryset in its order."""
        ordered: QuerySet[Model] = super().filter(queryset, value)
        return ordered.order_by(*ordered.query.order_by, "id") if value else ordered


class RecordFilter(FilterSet):  # type: ignore[misc]
    """Filters of every synced record; `searched` names the fields in which `search` looks."""

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
        for word in value.split()[:WORDS_SEARCHED]:
            found = (Q(**{f"{field}__icontains": word}) for field in self.searched)
            queryset = queryset.filter(reduce(or_, found))
        return queryset
