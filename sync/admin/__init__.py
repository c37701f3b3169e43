"""The engine's admin: queue, boards, journal, and what every synced model's admin shares."""

from sync.admin import board_pages, deletion_pages, history_pages, queue_pages, schedule_pages

__all__ = ["board_pages", "deletion_pages", "history_pages", "queue_pages", "schedule_pages"]
