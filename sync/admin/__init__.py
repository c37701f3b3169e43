"""The engine's admin: queue, boards, journal, and what every synced model's admin shares."""

from sync.admin import (
    board_pages,
    deletion_pages,
    diagnostics,
    history_pages,
    inbox_actions,
    notification_pages,
    program_pages,
    queue_pages,
    unmatched_pages,
)

__all__ = [
    "board_pages",
    "deletion_pages",
    "diagnostics",
    "history_pages",
    "inbox_actions",
    "notification_pages",
    "program_pages",
    "queue_pages",
    "unmatched_pages",
]
