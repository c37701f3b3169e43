"""Conflicts in the admin: the list, and the side-by-side screen."""

from conflicts.admin import attention_actions
from conflicts.admin.conflict_list import SyncConflictAdmin

__all__ = ["SyncConflictAdmin", "attention_actions"]
