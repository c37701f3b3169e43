"""The engine's tables."""

from sync.models.api_usage import ApiBudget, ApiReservation, ApiUsage, LatencyHour, MetricCount
from sync.models.board_link import BoardLease, BoardLink, FieldMapping, MondayAccount
from sync.models.jobs import Backfill, BackfillState, SetupDraft, SetupState
from sync.models.outbox_row import QueuePause, SyncQueue
from sync.models.state import (
    AwaitedRelation,
    Decision,
    FieldLoop,
    GuardedAct,
    Intent,
    IntentState,
    RefusedItem,
    SyncAudit,
    SyncMetadata,
    SyncState,
    Tombstone,
    WebhookEvent,
)
from sync.models.synced_model import SyncedModel, track_history

__all__ = [
    "ApiBudget",
    "ApiReservation",
    "ApiUsage",
    "AwaitedRelation",
    "Backfill",
    "BackfillState",
    "BoardLease",
    "BoardLink",
    "Decision",
    "FieldLoop",
    "FieldMapping",
    "GuardedAct",
    "Intent",
    "IntentState",
    "LatencyHour",
    "MetricCount",
    "MondayAccount",
    "QueuePause",
    "RefusedItem",
    "SetupDraft",
    "SetupState",
    "SyncAudit",
    "SyncMetadata",
    "SyncQueue",
    "SyncState",
    "SyncedModel",
    "Tombstone",
    "WebhookEvent",
    "track_history",
]
