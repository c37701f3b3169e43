"""Lists of a board come three items a page, so that a dozen records have cursors, which can expire."""

import inspect
from typing import Any

from django.apps import AppConfig

ITEMS = 3


class SmallPages(AppConfig):
    """Changes the connector's page size, and nothing else."""

    name = "tests.chaos"
    label = "small_pages"

    def ready(self) -> None:
        """Everybody calls these functions with their own default."""
        from sync.monday import items

        for function in (items.first_page_query, items.next_page_query):
            set_default(function, "limit", ITEMS)


def set_default(function: Any, name: str, value: Any) -> None:
    """Change one default of a function, wherever it was imported to."""
    with_default = [one.name for one in inspect.signature(function).parameters.values() if one.default is not one.empty]
    defaults = list(function.__defaults__)
    defaults[with_default.index(name)] = value
    function.__defaults__ = tuple(defaults)
