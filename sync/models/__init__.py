"""The engine's tables."""

from sync.models.api_clients import ExternalId, StoredAnswer
from sync.models.api_token import ApiToken, RequestCount
from sync.models.api_usage import ApiBudget, ApiReservation, ApiUsage, HourCount, LatencyHour, MetricCount
from sync.models.board_link import BoardLease, BoardLink, FieldMapping, MondayAccount, StoredSecret
from sync.models.feed import DeliveryState, DisabledCode, EventType, FeedEvent, WebhookDelivery, WebhookEndpoint
from sync.models.jobs import (
    Backfill,
    BackfillState,
    Export,
    ExportFormat,
    ExportPart,
    ExportState,
    SetupDraft,
    SetupState,
)
from sync.models.notification import Assignment, Incident, Notification, NotificationReceiver
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
    UnmatchedItem,
    WebhookEvent,
)
from sync.models.synced_model import SyncedModel, track_history

__all__ = [
    "ApiBudget",
    "ApiReservation",
    "ApiToken",
    "ApiUsage",
    "Assignment",
    "AwaitedRelation",
    "Backfill",
    "BackfillState",
    "BoardLease",
    "BoardLink",
    "Decision",
    "DeliveryState",
    "DisabledCode",
    "EventType",
    "Export",
    "ExportFormat",
    "ExportPart",
    "ExportState",
    "ExternalId",
    "FeedEvent",
    "FieldLoop",
    "FieldMapping",
    "GuardedAct",
    "HourCount",
    "Incident",
    "Intent",
    "IntentState",
    "LatencyHour",
    "MetricCount",
    "MondayAccount",
    "Notification",
    "NotificationReceiver",
    "QueuePause",
    "RefusedItem",
    "RequestCount",
    "SetupDraft",
    "SetupState",
    "StoredAnswer",
    "StoredSecret",
    "SyncAudit",
    "SyncMetadata",
    "SyncQueue",
    "SyncState",
    "SyncedModel",
    "Tombstone",
    "UnmatchedItem",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookEvent",
    "track_history",
]
