"""Lists of a board come three items a page, so that a dozen records have cursors, which can expire."""

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
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(ITEMS if value == items.ITEMS_PER_PAGE else value for value in defaults)
