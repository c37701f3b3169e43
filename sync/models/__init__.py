"""The engine's tables."""

from sync.models.attention import ApiToken, Attention, CacheEntry, Notification, NotificationReceiver
from sync.models.boards_and_account import (
    ApiQuota,
    ApiUsage,
    BoardLease,
    BoardLink,
    FieldMapping,
    MondayAccount,
    StoredSecret,
)
from sync.models.decisions import Decision
from sync.models.jobs import SyncQueue
from sync.models.state import (
    ApprovalRequest,
    AwaitedRelation,
    IgnoredItem,
    Intent,
    IntentState,
    SyncMetadata,
    SyncState,
    Tombstone,
    UnmatchedItem,
    WebhookEvent,
    WriteLoop,
)
from sync.models.synced_model import LongTextField, SyncedModel, history_of, track_history

__all__ = [
    "ApiQuota", "ApiToken", "ApiUsage", "ApprovalRequest", "Attention", "AwaitedRelation",
    "BoardLease", "BoardLink", "CacheEntry", "Decision", "FieldMapping", "IgnoredItem",
    "Intent", "IntentState",
    "LongTextField", "MondayAccount", "Notification", "NotificationReceiver",
    "StoredSecret", "SyncMetadata",
    "SyncQueue", "SyncState", "SyncedModel", "Tombstone", "UnmatchedItem", "WebhookEvent",
    "WriteLoop", "history_of", "track_history",
]  # fmt: skip
