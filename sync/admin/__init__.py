"""The engine's admin: jobs, boards, journal, and what every synced model's admin shares."""

from sync.admin import (  # noqa: F401 - each registers its admins or handlers
    activity_pages,
    api_token_pages,
    approval_pages,
    board_pages,
    diagnostics,
    engine_handlers,
    notification_pages,
    queue_pages,
    unmatched_pages,
)
