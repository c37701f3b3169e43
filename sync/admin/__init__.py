"""The engine's admin: jobs, boards, activity, set-up, and the base of every synced model's admin."""

from sync.admin import (  # noqa: F401 - each registers its admins or acts
    activity_pages,
    advanced_lists,
    board_pages,
    home_acts,
    items_and_approvals,
    notifications_and_tokens,
    queue_pages,
)
