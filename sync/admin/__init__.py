"""The engine's admin: each page has a module; the base of every synced model's admin is in record_pages.py."""

from sync.admin import (  # noqa: F401 - each registers its admins or acts
    activity_pages,
    advanced,
    board_pages,
    home_acts,
    items_and_approvals,
    notifications_and_tokens,
    queue_pages,
)
