"""The engine's admin: queue, boards, journal, and what every synced model's admin shares."""

from sync.admin import audits, boards, guard, journal, queue, schedule, tombstones

__all__ = ["audits", "boards", "guard", "journal", "queue", "schedule", "tombstones"]
