"""Lists the items of boards in small pages, so that a dozen items have a second one."""

from collections.abc import Callable
from typing import Any

from sync.monday import items
from sync.monday.graphql import Document

LISTING_QUERIES = ("first_page_query", "next_page_query")  # of sync/monday/items.py


def with_limit(limit: int, query_name: str) -> Callable[..., Document]:
    """Return the function that makes this query, with another number of items in a page."""
    make_query = getattr(items, query_name)

    def make_smaller(*arguments: Any, **options: Any) -> Document:
        document: Document = make_query(*arguments, **options)
        assert "limit" in document.variables
        return document._replace(variables={**document.variables, "limit": limit})

    return make_smaller
