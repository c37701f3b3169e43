"""The sync states of all systems: written by their service (service.py), shown on a record's page (record_view.py)."""

from sync.state.service import JIRA_TYPES, SyncStateService

__all__ = ["JIRA_TYPES", "SyncStateService"]
