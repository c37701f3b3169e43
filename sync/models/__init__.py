"""The engine's tables."""

from sync.models.api_clients import ApiToken, ExternalId, RequestCount, StoredAnswer
from sync.models.board_link import (
    ApiBudget,
    ApiReservation,
    ApiUsage,
    BoardLease,
    BoardLink,
    FieldMapping,
    MondayAccount,
    StoredSecret,
)
from sync.models.followers import (
    Assignment,
    DeliveryState,
    DisabledCode,
    EventType,
    FeedEvent,
    Incident,
    Notification,
    NotificationReceiver,
    WebhookDelivery,
    WebhookEndpoint,
)
from sync.models.jobs import ExportFormat, QueuePause, SetupDraft, SetupState, SyncQueue
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
    "ApiBudget", "ApiReservation", "ApiToken", "ApiUsage", "ApprovalRequest", "Assignment", "AwaitedRelation",
    "BoardLease", "BoardLink", "Decision", "DeliveryState", "DisabledCode", "EventType", "ExportFormat",
    "ExternalId", "FeedEvent", "FieldMapping", "IgnoredItem", "Incident", "Intent", "IntentState",
    "LongTextField", "MondayAccount", "Notification", "NotificationReceiver",
    "QueuePause", "RequestCount", "SetupDraft", "SetupState", "StoredAnswer", "StoredSecret", "SyncMetadata",
    "SyncQueue", "SyncState", "SyncedModel", "Tombstone", "UnmatchedItem", "Verification", "WebhookDelivery",
    "WebhookEndpoint", "WebhookEvent", "WriteLoop", "track_history",
]  # fmt: skip
