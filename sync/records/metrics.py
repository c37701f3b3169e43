"""What a scrape of `/metrics` answers: a table of the gauges, each read at the scrape, and the sums so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import accumulate, product

from django.db.models import CharField, Count, Value
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from sync import registry
from sync.choices import ApprovalKind, QueueDirection, QueueStatus, RecordSyncStatus
from sync.kernel.conflict_store import current_store
from sync.kernel.counters import BOARD, COUNTERS, INFINITE, LATENCY, LATENCY_BOUNDS, SUM, Metric
from sync.kernel.db import fetch_rows
from sync.limits import BlockedKind
from sync.models import BoardLink
from sync.records import availability, ledger_statistics

# An event without a pending job has nobody to process it: one of a record whose sync is off, read when it is on.
# Joined by one key, for an OR of two EXISTS would read every row of the queue.
_INBOX = """
    WITH items AS (
        SELECT board.entity_type, event.item_id, count(*) AS events, min(event.received_at) AS oldest
        FROM sync_webhook_events AS event
        JOIN unnest(%s::text[], %s::text[]) AS board (entity_type, board_id) ON board.board_id = event.board_id
        WHERE event.processed_at IS NULL GROUP BY 1, 2
    ), keys AS (
        SELECT items.*, 'item ' || items.item_id AS key FROM items
        UNION ALL
        SELECT items.*, ledger.entity_id FROM items JOIN sync_metadata AS ledger
            ON ledger.entity_type = items.entity_type AND ledger.remote_id = items.item_id
            AND ledger.system = 'monday'
    ), busy AS (
        SELECT entity_type, coalesce(entity_id::text, 'item ' || remote_id) AS key
        FROM sync_queue WHERE status = 'pending'
        UNION ALL
        SELECT entity_type, coalesce(entity_id::text, 'item ' || remote_id)
        FROM sync_queue WHERE status = 'in_progress'
    ), awaited AS (
        SELECT DISTINCT keys.entity_type, keys.item_id, keys.events, keys.oldest FROM keys
        WHERE EXISTS (SELECT 1 FROM busy WHERE busy.entity_type = keys.entity_type AND busy.key = keys.key)
    )
    SELECT entity_type, sum(events), min(oldest) FROM awaited GROUP BY 1
"""

# One table of figures, by the names under which they are exported. Sums that grow stand in their own table.
_FIGURES = """
    SELECT name, entity_type, label, bucket, value FROM sync_metric_counts
    UNION ALL
    SELECT 'guard_held', board.entity_type, act.kind, '', pending.number
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN unnest(%(kinds)s::text[]) AS act (kind)
    CROSS JOIN LATERAL (
        SELECT count(*) AS number FROM sync_approval_requests
        WHERE entity_type = board.entity_type AND kind = act.kind AND state = 'pending') AS pending
    UNION ALL
    SELECT figure.name, board.entity_type, '', '', figure.value
    FROM unnest(%(types)s::text[]) AS board (entity_type)
    CROSS JOIN LATERAL (
        SELECT at, compared, differed FROM sync_verifications WHERE entity_type = board.entity_type
        ORDER BY at DESC LIMIT 1) AS newest
    CROSS JOIN LATERAL (VALUES
        ('audit_timestamp_seconds', extract(epoch FROM newest.at)),
        ('audit_sampled', newest.compared), ('audit_drifted', newest.differed)) AS figure (name, value)
"""

Amount = float | datetime | None
"""A moment is exported as Unix seconds; of None there is no series."""

Series = Iterable[tuple[Sequence[str], Amount]]
"""The values of one gauge by their labels, in the gauge's order."""


@dataclass
class Scrape:
    """What the gauges of one scrape are read from, each part once."""

    status: availability.Overview = field(default_factory=availability.overview)

    @property
    def boards(self) -> Sequence[availability.BoardAvailability]:
        """The boards that are linked, zeros too: a series that begins at its first event would hide that event."""
        return [board for board in self.status.boards if board.link is not None]

    def age(self, since: datetime | None) -> float:
        """For how many seconds something has been so; 0 where it isn't."""
        return 0.0 if since is None else max(0.0, (self.status.now - since).total_seconds())

    @cached_property
    def figures(self) -> Mapping[tuple[str, str, str, str], float]:
        """By name, board, label and bucket: what only grows; and what of these boards is counted in one statement."""
        params = {"types": list(self.status.links), "kinds": ApprovalKind.values}
        rows = fetch_rows(_FIGURES, params)
        return {(name, board, label, bucket): float(value) for name, board, label, bucket, value in rows}

    @cached_property
    def inbox(self) -> Mapping[str, tuple[int, datetime]]:
        """By board, how many events a pending job has yet to process, and when the oldest came."""
        boards = {kind: link.board_id for kind, link in self.status.links.items()}
        found = fetch_rows(_INBOX, [list(boards), list(boards.values())])
        return {entity_type: (int(events), oldest) for entity_type, events, oldest in found}

    @cached_property
    def ledger(self) -> ledger_statistics.LedgerStatistics:
        """The sync states' figures of the last 24 hours."""
        return ledger_statistics.statistics(now=self.status.now)

    @cached_property
    def records(self) -> Mapping[tuple[str, str], int]:
        """How many records there are by type and sync status."""
        queries = [
            spec.model._default_manager.order_by()
            .annotate(board=Value(spec.entity_type, CharField()))
            .values_list("board", "sync_status")
            .annotate(number=Count("pk"))
            for spec in registry.entities()
        ]
        if not queries:
            return {}
        return {(row[0], row[1]): row[2] for row in queries[0].union(*queries[1:], all=True)}


@dataclass(frozen=True)
class Gauge(Metric):
    """A metric whose values are read at the scrape."""

    query: Callable[[Scrape], Series] = lambda scrape: ()


def _by_board(value: Callable[[Scrape, availability.BoardAvailability], Amount]) -> Callable[[Scrape], Series]:
    return lambda scrape: [([board.entity_type], value(scrape, board)) for board in scrape.boards]


def _by_link(value: Callable[[BoardLink, datetime], Amount]) -> Callable[[Scrape], Series]:
    return lambda scrape: [([kind], value(link, scrape.status.now)) for kind, link in scrape.status.links.items()]


def _by_budget(value: Callable[[availability.Overview], Amount]) -> Callable[[Scrape], Series]:
    return lambda scrape: [([], value(scrape.status))]


def _by_unit(values: Callable[[availability.Overview], tuple[Amount, Amount]]) -> Callable[[Scrape], Series]:
    return lambda scrape: list(zip((["calls"], ["points"]), values(scrape.status), strict=True))


def _by_inbox(value: Callable[[Scrape, int, datetime | None], Amount]) -> Callable[[Scrape], Series]:
    return lambda scrape: [
        ([kind], value(scrape, *scrape.inbox.get(kind, (0, None))))
        for kind, link in scrape.status.links.items()
        if link.board_id
    ]


def _by_figure(name: str) -> Callable[[Scrape], Series]:
    return lambda scrape: [
        ([board, label] if label else [board], value)
        for (found, board, label, _), value in scrape.figures.items()
        if found == name
    ]


def _jobs_by_status(scrape: Scrape) -> Series:
    # Finished jobs are no gauge: counting them would read all of them.
    for board, status in product(scrape.boards, (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)):
        jobs = scrape.status.jobs(board.entity_type)
        yield [board.entity_type, status.value], sum(one.number for one in jobs if one.status == status)


def _jobs_by_attempts(scrape: Scrape) -> Series:
    for board in scrape.boards:
        found = Counter[int](dict.fromkeys(range(5), 0))
        for one in scrape.status.jobs(
            board.entity_type, availability.READY, availability.BACKOFF, availability.DEFERRED
        ):
            found[one.attempts] += one.number
        yield from (([board.entity_type, str(attempts)], number) for attempts, number in sorted(found.items()))


def _states(scrape: Scrape) -> Series:
    by_type = scrape.ledger.by_type.items()
    return sorted(((*thing, status), n) for thing, numbers in by_type for status, n in numbers.items() if n)


def _breaker(scrape: Scrape) -> Series:
    account = scrape.status.account
    waits = account.stopped_until is not None and account.stopped_until > scrape.status.now
    yield ["outage"], account.needs_probe
    yield ["limit"], waits and not account.needs_probe


GAUGES = (
    Gauge("queue_rows", "Jobs by state: pending (also with a later next attempt), in_progress, failed.",
        ("board", "state"), query=_jobs_by_status),
    Gauge("queue_waiting_rows", "Pending jobs by how many attempts they have behind them.", ("board", "attempts"),
        query=_jobs_by_attempts),
    Gauge("queue_due_rows", "Jobs whose time has come, on a board that can be worked now; 0 where it can't.", BOARD,
        query=_by_board(lambda scrape, board: availability.number_of(scrape.status.due(board)))),
    Gauge("queue_oldest_due_seconds", "For how long the job that is due longest could have been worked.", BOARD,
        query=_by_board(lambda scrape, board: scrape.age(scrape.status.due_since(board)))),
    Gauge("queue_oldest_claim_seconds", "How long ago the oldest job in progress was claimed.", BOARD,
        query=_by_board(lambda scrape, board: scrape.age(scrape.status.claimed_since(board)))),
    Gauge("board_standstill", "1 for the kind of reason for which a board is not worked now; all 0 where it is.",
        ("board", "kind"),
        query=lambda scrape: [([board.entity_type, kind.value], kind is board.reason_code)
                              for board, kind in product(scrape.status.boards, BlockedKind)]),
    Gauge("board_lease_held", "1 while a worker holds the board.", BOARD, query=_by_link(availability.is_leased)),
    Gauge("board_last_look_timestamp_seconds", "When a pass last called Monday; absent before the first.", BOARD,
        query=_by_link(lambda link, now: link.last_pass_at)),
    Gauge("board_last_sweep_timestamp_seconds", "When the last sweep of the board ended; absent before it.", BOARD,
        query=_by_link(lambda link, now: link.swept_at)),
    Gauge("board_webhooks_silent", "1 where a sweep found changes that no webhook reported.", BOARD,
        query=_by_link(lambda link, now: bool(link.silence))),
    Gauge("pause_timestamp_seconds",
        "Since when a person has paused this; board “all” where everything is.", BOARD,
        query=lambda scrape: [([pause.entity_type or "all"], pause.paused_at) for pause in scrape.status.pauses]),
    Gauge("account_paused",
        "1 while no board calls Monday: “outage” until a probe is answered, “limit” while Monday asks to wait.",
        ("kind",), query=_breaker),
    Gauge("account_failed_probes", "Failures of the account in a row.",
        query=lambda scrape: [([], scrape.status.account.failures)]),
    Gauge("api_day_limit_calls", "Calls of a UTC day; absent where the limit isn't known.",
        query=_by_budget(lambda now: now.budget.quota.day)),
    Gauge("api_day_used_calls", "Calls of today by everyone who uses the account.",
        query=_by_budget(lambda now: float(now.budget.used_today))),
    Gauge("api_day_left_calls", "Calls left today; absent where the limit isn't known.",
        query=_by_budget(lambda now: now.budget.day_left(urgent=True))),
    Gauge("api_day_reserve_calls", "Of these, kept for what people click.",
        query=_by_budget(lambda now: None if now.budget.quota.day is None else now.budget.day_reserve)),
    Gauge("api_minute_used", "Spent of this minute, by unit: calls, points.", ("unit",),
        query=_by_unit(lambda now: (now.budget.minute.spent, now.budget.points.spent))),
    Gauge("api_minute_limit", "What a minute allows, by unit: calls, points; absent where unknown.", ("unit",),
        query=_by_unit(lambda now: (now.budget.quota.minute, now.budget.quota.points))),
    Gauge("api_calls_in_air", "Calls that are allowed and not answered yet.",
        query=lambda scrape: [([], scrape.status.budget_state.in_flight.calls)]),
    Gauge("pacing_window_seconds", "For how long boards gather changes before a pass; 0: they don't.",
        query=lambda scrape: [([], scrape.status.batching_delay)]),
    Gauge("inbox_events", "Webhook deliveries that a pending job has yet to process.", BOARD,
        query=_by_inbox(lambda scrape, events, oldest: events)),
    Gauge("inbox_oldest_seconds", "How long ago the oldest of them came.", BOARD,
        query=_by_inbox(lambda scrape, events, oldest: scrape.age(oldest))),
    Gauge("conflicts_open", "Conflicts that wait for a person.", ("board", "kind"),
        query=lambda scrape: current_store().open_counts().items()),
    Gauge("guard_held", "Deletes and emptied fields that wait for approval.", ("board", "kind"),
        query=_by_figure("guard_held")),
    Gauge("records", "Records by sync status.", ("board", "status"),
        query=lambda scrape: [([spec.entity_type, status], scrape.records.get((spec.entity_type, status), 0))
                              for spec, status in product(registry.entities(), RecordSyncStatus.values)]),
    Gauge("states", "Sync states of everything, by system, type and status.", ("system", "type", "status"),
        query=_states),
    Gauge("states_tried", "Sync states that were last tried within 24 hours.", ("system", "type"),
        query=lambda scrape: [(key, tried) for key, (tried, _, _) in scrape.ledger.outcomes.items()]),
    Gauge("states_success_ratio",
        "Of those that came to an end within 24 hours the share that did not fail; absent where none did.",
        ("system", "type"),
        query=lambda scrape: [(key, ledger_statistics.success_rate([outcome]))
                              for key, outcome in scrape.ledger.outcomes.items()]),
    Gauge("states_never_synced", "Sync states without a success, but for those that are not to be synced.",
        query=lambda scrape: [([], scrape.ledger.never_synced)]),
    Gauge("audit_sampled", "Records that said synced and were compared by the last nightly comparison.", BOARD,
        query=_by_figure("audit_sampled")),
    Gauge("audit_drifted", "Of these, records that differed: there should be none.", BOARD,
        query=_by_figure("audit_drifted")),
    Gauge("audit_timestamp_seconds", "When the last nightly comparison ended; absent before it.", BOARD,
        query=_by_figure("audit_timestamp_seconds")),
)  # fmt: skip

METRICS: tuple[Metric, ...] = (*GAUGES, *COUNTERS, LATENCY)


class InstallationCollector(Collector):
    """Reads the whole installation from its database, in at most fifteen queries."""

    def collect(self) -> Iterator[Family]:
        """Yield every metric, those of which there is no value now too."""
        scrape, types = Scrape(), [spec.entity_type for spec in registry.entities()]
        for gauge in GAUGES:
            family = GaugeMetricFamily(gauge.full_name, gauge.meaning, labels=gauge.labels)
            for labels, amount in gauge.query(scrape):
                if amount is not None:
                    family.add_metric(labels, amount.timestamp() if isinstance(amount, datetime) else float(amount))
            yield family
        for metric in COUNTERS:
            counter = CounterMetricFamily(metric.full_name, metric.meaning, labels=metric.labels)
            boards = types if "board" in metric.labels else [""]
            first = {*product(boards, metric.values), *(("", value) for value in metric.values_of_no_board)}
            found = {(board, label) for name, board, label, _ in scrape.figures if name == metric.name}
            for board, label in sorted(first | found):
                labels = [board if name == "board" else label for name in metric.labels]
                counter.add_metric(labels, scrape.figures.get((metric.name, board, label, ""), 0.0))
            yield counter
        histogram = HistogramMetricFamily(LATENCY.full_name, LATENCY.meaning, labels=LATENCY.labels)
        bounds = [*(str(bound) for bound in LATENCY_BOUNDS), INFINITE]
        for board, direction in product(types, QueueDirection.values):
            numbers = [scrape.figures.get((LATENCY.name, board, direction, bound), 0.0) for bound in bounds]
            buckets = list(zip(bounds, accumulate(numbers), strict=True))
            total = scrape.figures.get((LATENCY.name, board, direction, SUM), 0.0)
            histogram.add_metric([board, direction], buckets=buckets, sum_value=total)
        yield histogram


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(InstallationCollector())
