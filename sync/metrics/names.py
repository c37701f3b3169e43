"""Every metric of ours: its name, what it means, its labels. The collector exports exactly these."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "npd_sync_"


class Kind(StrEnum):
    """How a metric behaves over time."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric as it is exported; `name` is without the prefix, and of a counter without `_total`."""

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    kind: Kind = Kind.GAUGE

    @property
    def full_name(self) -> str:
        """The name as Prometheus shows it."""
        return f"{PREFIX}{self.name}{'_total' if self.kind is Kind.COUNTER else ''}"


BOARD = ("board",)
QUEUE_ROWS = Metric(
    "queue_rows",
    "Queue rows by state: pending (backoff and snooze too), in_progress, failed (dead letters).",
    ("board", "state"),
)
QUEUE_WAITING_BY_ATTEMPTS = Metric(
    "queue_waiting_rows", "Waiting rows by how many attempts they have behind them.", ("board", "attempts")
)
QUEUE_DUE = Metric(
    "queue_due_rows", "Rows whose time has come, on a board that can be worked now; 0 where it can't.", BOARD
)
QUEUE_OLDEST_DUE = Metric(
    "queue_oldest_due_seconds", "For how long the row that is due longest could have been worked.", BOARD
)
QUEUE_OLDEST_CLAIM = Metric(
    "queue_oldest_claim_seconds", "How long ago the oldest row that is being worked on was claimed.", BOARD
)
STANDSTILL = Metric(
    "board_standstill",
    "1 for the kind of reason for which a board is not worked now; all 0 where it is.",
    ("board", "kind"),
)
LEASE_HELD = Metric("board_lease_held", "1 while a worker holds the board.", BOARD)
LAST_LOOK = Metric(
    "board_last_look_timestamp_seconds", "When a look last called Monday; absent before the first.", BOARD
)
LAST_SWEEP = Metric(
    "board_last_sweep_timestamp_seconds", "When the last sweep of the board ended; absent before it.", BOARD
)
WEBHOOKS_SILENT = Metric(
    "board_webhooks_silent", "1 where a sweep found changes of which no webhook told.", BOARD
)
PAUSE = Metric(
    "pause_timestamp_seconds",
    "Since when a person has paused this; board “all” and direction “both” where it says so.",
    ("board", "direction"),
)
ACCOUNT_PAUSED = Metric(
    "account_paused",
    "1 while no board calls Monday: “outage” until a probe is answered, “limit” while Monday asks to wait.",
    ("kind",),
)
ACCOUNT_PROBES = Metric("account_failed_probes", "Failures of the account in a row.")
DAY_LIMIT = Metric("api_day_limit_calls", "Calls of a UTC day; absent where the limit isn't known.")
DAY_USED = Metric("api_day_used_calls", "Calls of today by everyone who uses the account.")
DAY_LEFT = Metric("api_day_left_calls", "Calls left today; absent where the limit isn't known.")
DAY_RESERVE = Metric("api_day_reserve_calls", "Of these, kept for what people click.")
MINUTE_USED = Metric("api_minute_used", "Spent of this minute, by unit: calls, points.", ("unit",))
MINUTE_LIMIT = Metric(
    "api_minute_limit", "What a minute allows, by unit: calls, points; absent where unknown.", ("unit",)
)
CALLS_IN_AIR = Metric("api_calls_in_air", "Calls that are allowed and not answered yet.")
PACING_WINDOW = Metric(
    "pacing_window_seconds", "For how long boards gather changes before a look; 0: they don't."
)
INBOX_EVENTS = Metric("inbox_events", "Webhook deliveries that a waiting look has yet to weigh.", BOARD)
INBOX_OLDEST = Metric("inbox_oldest_seconds", "How long ago the oldest of them came.", BOARD)
CONFLICTS = Metric("conflicts_open", "Conflicts that wait for a person.", ("board", "kind"))
GUARD_HELD = Metric("guard_held", "Deletes and emptied fields that wait for approval.", ("board", "kind"))
RECORDS = Metric("records", "Records by sync status.", ("board", "status"))
AUDIT_SAMPLED = Metric(
    "audit_sampled", "Records that said synced and were compared, of the day before the newest sample.", BOARD
)
AUDIT_DRIFTED = Metric("audit_drifted", "Of these, records that differed: there should be none.", BOARD)
AUDIT_AT = Metric("audit_timestamp_seconds", "When the newest sample was read; absent before it.", BOARD)

LOOKS = Metric("looks", "Looks that were settled.", BOARD, Kind.COUNTER)
RECORDS_LOOKED_AT = Metric(
    "looked_at_records",
    "Records and items that looks ended: completed, failed, or waiting for the next one.",
    ("board", "outcome"),
    Kind.COUNTER,
)
FAILED_ATTEMPTS = Metric("failed_attempts", "Attempts that failed and counted.", BOARD, Kind.COUNTER)
DEAD_LETTERS = Metric("dead_letters", "Rows that failed for good.", BOARD, Kind.COUNTER)
API_CALLS = Metric(
    "api_calls",
    "Calls that reached Monday, or may have: read, write, account.",
    ("board", "kind"),
    Kind.COUNTER,
)
API_POINTS = Metric("api_points", "Complexity points that calls cost.", BOARD, Kind.COUNTER)
API_REJECTIONS = Metric("api_rejections", "Calls that Monday refused for a limit.", BOARD, Kind.COUNTER)
WEBHOOKS = Metric(
    "webhooks",
    "Webhook deliveries: stored, duplicate, ignored (about nothing that is synced), refused.",
    ("result",),
    Kind.COUNTER,
)
LATENCY = Metric(
    "latency_seconds",
    "From a save's commit (to_monday) or a webhook's arrival (to_npd) to the look that carried it over.",
    ("board", "direction"),
    Kind.HISTOGRAM,
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
