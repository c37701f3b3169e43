"""The engine's tables."""

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
from sync.models.decisions import Decision
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
    "ApiQuota", "ApiToken", "ApprovalRequest", "Attention", "AwaitedRelation",
    "BoardLease", "BoardLink", "CacheEntry", "Decision", "FieldMapping", "IgnoredItem",
    "Intent", "IntentState",
    "LongTextField", "MondayAccount", "Notification", "NotificationReceiver",
    "StoredSecret", "SyncMetadata",
    "SyncQueue", "SyncState", "SyncedModel", "Tombstone", "UnmatchedItem", "WebhookEvent",
    "WriteLoop", "history_of", "track_history",
]  # fmt: skip
