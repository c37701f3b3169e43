"""The pages of a search: the table is read through once for it, not once to count and once more for the page."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator

CAP = 10_000
"""Keys that are kept; what finds more is quickly found, so counting it and fetching a page costs little."""


class OneScanPaginator(Paginator):  # type: ignore[type-arg]  # has no parameters when it runs
    """Fetches the keys of everything that is found, in their order, and of a page the rows by their keys."""

    @cached_property
    def _keys(self) -> list[Any] | None:
        """The keys; None where there are too many to keep."""
        rows: Any = self.object_list
        found = list(rows.values_list("pk", flat=True)[: CAP + 1])
        return found if len(found) <= CAP else None

    @cached_property
    def count(self) -> int:
        """Return how many rows are found."""
        return super().count if self._keys is None else len(self._keys)

    def page(self, number: int | str) -> Page[Any]:
        """Return a page."""
        if self._keys is None:
            whole: Page[Any] = super().page(number)
            return whole
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        rows: Any = self.object_list
        return Page(rows.filter(pk__in=self._keys[first : first + self.per_page]), number, self)
