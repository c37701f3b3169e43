"""What chaos changes in the product: board lists have three items a page, and one planted bug may be on."""

import os

from django.apps import AppConfig

from tests.chaos import planted

ITEMS = 3  # so that a dozen records have cursors, which can expire


class Chaos(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        """Change the defaults of these functions, because all callers rely on them."""
        from sync.monday import items

        for function in (items.first_page_query, items.next_page_query):
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(ITEMS if value == items.ITEMS_PER_PAGE else value for value in defaults)
        if planted.FILE_VARIABLE in os.environ:
            planted.install()
