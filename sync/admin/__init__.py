"""The engine's admin: jobs, boards, activity, set-up, and the base of every synced model's admin."""

from sync.admin import (  # noqa: F401 - each registers its admins or acts
    activity_pages,
    api_token_pages,
    board_pages,
    diagnostics,
    home_acts,
    notification_pages,
    queue_pages,
    waiting_pages,
)
