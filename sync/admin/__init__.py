"""The engine's admin: queue, boards, journal, and what every synced model's admin shares."""

from sync.admin import boards, journal, queue

__all__ = ["boards", "journal", "queue"]
