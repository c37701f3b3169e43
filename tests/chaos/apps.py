"""What chaos changes in the product: pages of items have three, and one planted bug may be on."""

import os

from django.apps import AppConfig

from tests.chaos import planted

ITEMS = 3  # so that a dozen records have cursors, which can expire


class Chaos(AppConfig):
    name = "tests.chaos"
    label = "chaos"

    def ready(self) -> None:
        from sync.monday import item_documents

        item_documents.ITEMS_PER_PAGE = ITEMS
        if planted.FILE_VARIABLE in os.environ:
            planted.install()
