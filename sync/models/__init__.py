"""The engine's tables."""

from sync.models.api_clients import ApiToken, ExternalId, RequestCount, StoredAnswer
from sync.models.board_link import (
    ApiBudget,
    ApiReservation,
    ApiUsage,
    BoardLease,
    BoardLink,
    FieldMapping,
    HourCount,
    LatencyHour,
    MetricCount,
    MondayAccount,
    StoredSecret,
)
from sync.models.followers import Incident, Notification, NotificationReceiver
from sync.models.jobs import ExportFormat, QueuePause, SetupDraft, SetupState, SyncQueue, WrongClock
from sync.models.state import (
    ApprovalRequest,
    AwaitedRelation,
    Decision,
    IgnoredItem,
    Intent,
    IntentState,
    SyncMetadata,
    SyncState,
    Tombstone,
    UnmatchedItem,
    Verification,
    WebhookEvent,
    WriteLoop,
)
from sync.models.synced_model import LongTextField, SyncedModel, track_history

__all__ = [
    "ApiBudget", "ApiReservation", "ApiToken", "ApiUsage", "ApprovalRequest", "AwaitedRelation",
    "BoardLease", "BoardLink", "Decision", "ExportFormat", "ExternalId", "FieldMapping", "HourCount", "IgnoredItem",
    "Incident", "Intent", "IntentState",
    "LatencyHour", "LongTextField", "MetricCount", "MondayAccount", "Notification", "NotificationReceiver",
    "QueuePause", "RequestCount", "SetupDraft", "SetupState", "StoredAnswer", "StoredSecret", "SyncMetadata",
    "SyncQueue", "SyncState", "SyncedModel", "Tombstone", "UnmatchedItem", "Verification", "WebhookEvent",
    "WriteLoop", "WrongClock", "track_history",
]  # fmt: skip
