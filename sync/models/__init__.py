"""The engine's tables."""

from sync.models.boards import BoardLease, BoardLink, FieldMapping, MondayAccount
from sync.models.journal import Intent, IntentState, RefusedItem, Tombstone, WebhookEvent
from sync.models.ledger import Decision, SyncMetadata, SyncState
from sync.models.queue import SyncQueue
from sync.models.synced import SyncedModel

__all__ = [
    "BoardLease",
    "BoardLink",
    "Decision",
    "FieldMapping",
    "Intent",
    "IntentState",
    "MondayAccount",
    "RefusedItem",
    "SyncMetadata",
    "SyncQueue",
    "SyncState",
    "SyncedModel",
    "Tombstone",
    "WebhookEvent",
]
