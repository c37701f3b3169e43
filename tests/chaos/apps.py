"""What scripts change in the product: lists of a board come three items a page, and one planted bug may be at work."""

import os

from django.apps import AppConfig

from tests.chaos import planted

ITEMS = 3  # so that a dozen records have cursors, which can expire


class Chaos(AppConfig):
    """Changes the connector's page size, and installs the planted bugs where they are asked for."""

    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        """All models and modules are there by now. Everybody calls these functions with their own default."""
        from sync.monday import items

        for function in (items.first_page_query, items.next_page_query):
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(ITEMS if value == items.ITEMS_PER_PAGE else value for value in defaults)
        if planted.FILE_VARIABLE in os.environ:
            planted.install()
