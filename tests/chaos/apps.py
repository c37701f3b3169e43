"""What chaos changes in the product: board lists have three items a page, and one planted bug may be on."""

import os

from django.apps import AppConfig

from tests.chaos import planted

ITEMS = 3  # so that a dozen records have cursors, which can expire


class Chaos(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        """List items in small pages, and plant the bug of this run, if any."""
        from sync.monday import items

        items.ITEMS_PER_PAGE = ITEMS
        if planted.FILE_VARIABLE in os.environ:
            planted.install()
