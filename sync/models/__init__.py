"""The engine's tables."""

from sync.models.backfill import Backfill, BackfillState
from sync.models.boards import BoardLease, BoardLink, FieldMapping, MondayAccount
from sync.models.budget import ApiBudget, ApiReservation, ApiUsage
from sync.models.guarding import GuardedAct
from sync.models.journal import Intent, IntentState, RefusedItem, Tombstone, WebhookEvent
from sync.models.ledger import Decision, SyncMetadata, SyncState
from sync.models.metrics import LatencyHour, MetricCount
from sync.models.queue import SyncQueue
from sync.models.relations import AwaitedRelation
from sync.models.steering import QueuePause
from sync.models.synced import SyncedModel
from sync.models.watching import FieldLoop, SyncAudit
from sync.models.wizard import SetupDraft, SetupState

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
]
