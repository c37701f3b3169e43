"""What chaos changes in the product: board lists have three items a page, and one planted bug may be on."""

import os

from django.apps import AppConfig

from tests.chaos import planted

ITEMS = 3  # so that a dozen records have cursors, which can expire


class Chaos(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from sync.monday import items
        from tests.support.small_pages import LISTING_QUERIES, with_limit

        for name in LISTING_QUERIES:
            setattr(items, name, with_limit(ITEMS, name))
        if planted.FILE_VARIABLE in os.environ:
            planted.install()
