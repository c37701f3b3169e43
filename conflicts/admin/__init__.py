"""Conflicts in the admin: their lists, and the side-by-side screen."""

from conflicts.admin.conflict_list import SyncConflictAdmin

__all__ = ["SyncConflictAdmin"]
