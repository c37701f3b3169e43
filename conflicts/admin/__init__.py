"""Conflicts in the admin: their list, the side-by-side screen, and what Home offers for them."""

from conflicts.admin import inbox_acts
from conflicts.admin.conflict_list import SyncConflictAdmin

__all__ = ["SyncConflictAdmin", "inbox_acts"]
