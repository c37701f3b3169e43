"""The engine's tables.

Under the names of the first drafts there are also `RecordSyncStatus` and `SyncDirection` of sync/choices.py, and
`SyncConflict` of conflicts/models.py, which uses this package, so it is looked up when it is asked for.
"""

from typing import Any

from django.apps import apps

from sync.choices import RecordSyncStatus, SyncDirection
from sync.models.activity_lines import ActivityLine
from sync.models.attention import Attention, Notification, NotificationReceiver
from sync.models.boards_and_account import (
    ApiQuota,
    ApiToken,
    BoardLease,
    BoardLink,
    CacheEntry,
    FieldMapping,
    MondayAccount,
    StoredSecret,
)
from sync.models.jobs import Intent, IntentState, SyncQueue, WebhookEvent
from sync.models.records_and_items import (
    ApprovalRequest,
    AwaitedRelation,
    IgnoredItem,
    SyncMetadata,
    SyncState,
    Tombstone,
    UnmatchedItem,
    WriteLoop,
)
from sync.models.synced_model import LongTextField, SyncedModel, history_of, track_history

__all__ = [
    "ActivityLine",
    "ApiQuota",
    "ApiToken",
    "ApprovalRequest",
    "Attention",
    "AwaitedRelation",
    "BoardLease",
    "BoardLink",
    "CacheEntry",
    "FieldMapping",
    "IgnoredItem",
    "Intent",
    "IntentState",
    "LongTextField",
    "MondayAccount",
    "Notification",
    "NotificationReceiver",
    "RecordSyncStatus",
    "StoredSecret",
    "SyncDirection",
    "SyncMetadata",
    "SyncQueue",
    "SyncState",
    "SyncedModel",
    "Tombstone",
    "UnmatchedItem",
    "WebhookEvent",
    "WriteLoop",
    "history_of",
    "track_history",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "SyncConflict":
        return apps.get_model("conflicts", name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
