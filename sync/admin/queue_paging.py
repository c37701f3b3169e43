"""The queue's list over millions of finished rows: never counted to the end, and the live ones unless asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, reduce
from operator import or_
from typing import Any

from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesCheckboxFilter

from sync.choices import QueueStatus

CAP = 10_000
"""Rows that are counted and can be paged through; further ones are found by the filters."""
LIVE = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
"""Without what is done, which stays in the queue for a while."""
_NO_FILTERS = (PAGE_VAR, ORDER_VAR, ERROR_FLAG)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # has no parameters when it runs
    """Counts no further than the cap; of the whole table it says what the last ANALYZE estimated.

    `known` is the number of rows where somebody has counted them already.
    """

    template_name = "sync/queue_pages.html"

    def __init__(self, *args: Any, known: int | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = known

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most as many as are paged through."""
        return min(self._found, CAP)

    @property
    def in_words(self) -> str:
        """Return how many rows there are: exact, as an estimate, or as more than the cap."""
        if self._found <= CAP or self.known is not None:
            return f"{self._found:,}"
        estimate = self._estimate
        return f"{CAP:,}+" if estimate <= CAP else f"About {estimate:,}"

    @property
    def is_cut(self) -> bool:
        """Whether there are rows behind the last page."""
        return self._found > CAP

    @cached_property
    def _found(self) -> int:
        if self.known is not None:
            return self.known
        rows: Any = self.object_list
        return int(rows.order_by()[: CAP + 1].count())

    @cached_property
    def _estimate(self) -> int:
        """Return the planner's figure for the whole table; 0 where only a part of it is listed."""
        rows: Any = self.object_list
        if rows.query.where:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = %s::regclass",
                [rows.model._meta.db_table],
            )
            return int(cursor.fetchone()[0])


class StatusFilter(ChoicesCheckboxFilter):
    """By status; the live ones unless others are chosen, and the boxes say so."""

    def value(self) -> list[str]:
        """Return the states that are listed."""
        return self.lookup_val or [str(status) for status in LIVE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of these states; as an OR, for which PostgreSQL unites the partial indexes."""
        chosen = set(self.value())
        if chosen >= set(QueueStatus.values):
            return queryset
        return queryset.filter(reduce(or_, (Q(status=status) for status in sorted(chosen))))


def lists_live_rows(params: Mapping[str, Any]) -> bool:
    """Whether these filters, whatever the order and the page, are those that the list opens with."""
    names = {name for name, value in params.items() if any(value) and name not in _NO_FILTERS}
    return names <= {"status__exact"} and set(params.get("status__exact", LIVE)) == set(LIVE)
