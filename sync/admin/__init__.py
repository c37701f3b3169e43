"""The engine's admin: jobs, boards, journal, and what every synced model's admin shares."""

from sync.admin import (
    activity_pages,
    approval_pages,
    board_pages,
    diagnostics,
    engine_handlers,
    notification_pages,
    program_pages,
    queue_pages,
    unmatched_pages,
)

__all__ = [
    "activity_pages",
    "approval_pages",
    "board_pages",
    "diagnostics",
    "engine_handlers",
    "notification_pages",
    "program_pages",
    "queue_pages",
    "unmatched_pages",
]
