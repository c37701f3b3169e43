"""The names of all metrics, and counters that only grow, in a table that all processes share."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import structlog
from django.db import Error

from sync.choices import QueueDirection
from sync.kernel.db import run_sql

PREFIX = "npd_sync_"


class MetricKind(StrEnum):
    """How a metric behaves over time."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric as it is exported; `name` is without the prefix, and of a counter without `_total`.

    A counter that begins at its first event would hide that event from `rate()`: `values` of its label that isn't the
    board are exported from the first scrape on, for each board, and `values_of_no_board` for none.
    """

    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    kind: MetricKind = MetricKind.GAUGE
    values: tuple[str, ...] = ("",)
    values_of_no_board: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{PREFIX}{self.name}{'_total' if self.kind is MetricKind.COUNTER else ''}"


BOARD = ("board",)
PASSES = Metric("looks", "Passes that were done.", BOARD, MetricKind.COUNTER)

RECORDS_PROCESSED = Metric(
    "looked_at_records",
    "Records and items that passes ended: completed, failed, or waiting for the next one.",
    ("board", "outcome"),
    MetricKind.COUNTER,
    values=("completed", "failed", "waiting"),
)

FAILED_ATTEMPTS = Metric("failed_attempts", "Attempts that failed and counted.", BOARD, MetricKind.COUNTER)
FAILED_JOBS = Metric("dead_letters", "Jobs that failed.", BOARD, MetricKind.COUNTER)

API_CALLS = Metric(
    "api_calls",
    "Calls that reached Monday, or may have: read, write, account.",
    ("board", "kind"),
    MetricKind.COUNTER,
    values=("read", "write"),
    values_of_no_board=("account",),
)

API_POINTS = Metric("api_points", "Complexity points that calls cost.", BOARD, MetricKind.COUNTER)
API_REJECTIONS = Metric("api_rejections", "Calls that Monday refused for a limit.", BOARD, MetricKind.COUNTER)

WEBHOOKS = Metric(
    "webhooks",
    "Webhook deliveries: stored, duplicate, ignored (about nothing that is synced), refused.",
    ("result",),
    MetricKind.COUNTER,
    values=("stored", "duplicate", "ignored", "refused"),
)

LOGIN_DONE, LOGIN_FAILED, LOGIN_REFUSED = "done", "failed", "refused"

LOGINS = Metric(
    "logins",
    "Attempts to sign in to the admin: done, failed, refused (after too many failures, or too many at once).",
    ("result",),
    MetricKind.COUNTER,
    values=(LOGIN_DONE, LOGIN_FAILED, LOGIN_REFUSED),
)

LATENCY = Metric(
    "latency_seconds",
    "From a save's commit (to_monday) or a webhook's arrival (to_npd) to the pass that synced it.",
    ("board", "direction"),
    MetricKind.HISTOGRAM,
)

COUNTERS = tuple(value for value in list(globals().values()) if isinstance(value, Metric) and value is not LATENCY)
"""All that only grow, but the histogram."""

# Counters: sums in a table to which every process of the installation adds.
#
# Whoever adds already holds the lock that the others want first: the board's lease for passes, the budget's
# row for calls. So two transactions never meet at these rows without having waited for each other before.


PRESENT_HOUR = "date_bin('1 hour', sync_now(), timestamptz '2001-01-01 00:00:00+00')"
"""SQL: the beginning of the hour."""

HOURLY = (FAILED_ATTEMPTS.name, FAILED_JOBS.name)
"""What is counted by the hour besides, for the charts of the first page."""

# Sorted, so that two who add to the same rows lock them in the same order.
_ADD_COUNT = f"""
    WITH told AS MATERIALIZED (
        SELECT name, entity_type, label, bucket, sum(value) AS value
        FROM unnest(%(names)s::text[], %(types)s::text[], %(labels)s::text[], %(buckets)s::text[], %(values)s::float8[])
            AS told (name, entity_type, label, bucket, value)
        GROUP BY 1, 2, 3, 4),
    hours AS (
        INSERT INTO sync_hour_counts (hour, name, entity_type, value)
        SELECT {PRESENT_HOUR}, name, entity_type, sum(value) FROM told WHERE name = ANY (%(hourly)s)
        GROUP BY 2, 3 ORDER BY 2, 3
        ON CONFLICT (hour, name, entity_type) DO UPDATE SET value = sync_hour_counts.value + excluded.value)
    INSERT INTO sync_metric_counts (name, entity_type, label, bucket, value)
    SELECT name, entity_type, label, bucket, value FROM told ORDER BY 1, 2, 3, 4
    ON CONFLICT (name, entity_type, label, bucket)
    DO UPDATE SET value = sync_metric_counts.value + excluded.value
"""  # noqa: S608 - made of the fragment above


@dataclass(frozen=True)
class Increment:
    """An amount to add to a metric; `label` is the value of the label that isn't the board, if any."""

    metric: Metric
    entity_type: str = ""
    label: str = ""
    value: float = 1.0
    bucket: str = ""


def increment(counts: Iterable[Increment]) -> None:
    """Add to the sums, in one statement of the caller's transaction; zeros need no statement."""
    nonzero = [one for one in counts if one.value]
    if not nonzero:
        return
    columns: dict[str, Any] = {
        "names": [one.metric.name for one in nonzero],
        "types": [one.entity_type for one in nonzero],
        "labels": [one.label for one in nonzero],
        "buckets": [one.bucket for one in nonzero],
        "values": [float(one.value) for one in nonzero],
        "hourly": list(HOURLY),
    }
    run_sql(_ADD_COUNT, columns)


# Each step is a fifth longer than the one before, so a quantile is known to within a tenth of itself (decision 0027).
LATENCY_FACTOR = 1.2

SHORTEST_LATENCY = 0.01
"""Seconds below which latencies are not distinguished."""


def latency_step(seconds: float) -> int:
    return math.ceil(math.log(max(seconds, SHORTEST_LATENCY), LATENCY_FACTOR) - 1e-9)


def quantile(counts: Mapping[int, int], share: float) -> float:
    """Return the seconds within which `share` (0 to 1) of the counted changes arrived; 0 without any."""
    wanted, reached = math.ceil(share * sum(counts.values())), 0
    for step, number in sorted(counts.items()):
        reached += number
        if reached >= wanted > 0:
            return float(LATENCY_FACTOR ** (step - 0.5))  # the middle of the step
    return 0.0


# Latencies by hour, for the charts of the first page: the sums of `/metrics` have no time.


HOURLY_DAYS = 32
"""Days for which the hours are kept: the charts show 30."""

# Sorted, as the sums above are: whoever adds holds the board's lease.
_ADD_LATENCY = f"""
    INSERT INTO sync_latency_hours (hour, entity_type, direction, bucket, changes)
    SELECT {PRESENT_HOUR}, %s, told.direction, told.bucket, told.changes
    FROM unnest(%s::text[], %s::int[], %s::int[]) AS told (direction, bucket, changes)
    ORDER BY 3, 4
    ON CONFLICT (hour, entity_type, direction, bucket)
    DO UPDATE SET changes = sync_latency_hours.changes + excluded.changes
"""  # noqa: S608 - made of the fragment above


LATENCY_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Upper bounds. The goals are 50 % within 1 s and 99 % within 3 s; an hour is the longest backoff."""

INFINITE = "+Inf"
SUM = "sum"


@dataclass(frozen=True)
class Latency:
    """One change that has arrived: its direction, and for how many seconds it was on its way."""

    direction: QueueDirection
    seconds: float


def observe_latency(entity_type: str, latencies: Iterable[Latency]) -> None:
    """Add changes of one board to the histogram and to the present hour, under its lease."""
    increments: list[Increment] = []
    by_step: Counter[tuple[str, int]] = Counter()
    for one in latencies:
        seconds = max(0.0, one.seconds)
        increments.append(Increment(LATENCY, entity_type, one.direction, 1.0, latency_bucket(seconds)))
        increments.append(Increment(LATENCY, entity_type, one.direction, seconds, SUM))
        by_step[one.direction.value, latency_step(seconds)] += 1
    if not by_step:
        return
    increment(increments)
    directions, steps = zip(*by_step, strict=True)
    run_sql(_ADD_LATENCY, [entity_type, list(directions), list(steps), list(by_step.values())])


def latency_bucket(seconds: float) -> str:
    """The smallest bound that is not below, as it is stored and exported."""
    place = bisect_left(LATENCY_BOUNDS, seconds)
    return INFINITE if place == len(LATENCY_BOUNDS) else str(LATENCY_BOUNDS[place])


# Webhook deliveries are counted in the process's memory, and the counts stored together now and then.
#
# If every delivery added to one row, they would pass one after another, each waiting for the other's commit.
# A killed process loses what it has counted since it last stored: a second's worth at most under load.


log = structlog.get_logger(__name__)
STORED, DUPLICATE, IGNORED, REFUSED = "stored", "duplicate", "ignored", "refused"
# A webhook's answer doesn't wait for a counter: one statement a second, whatever the load.
INTERVAL_SECONDS = 1.0
_webhook_counts: Counter[str] = Counter()
_lock = threading.Lock()
_flushed_at = 0.0


def count_webhook(result: str) -> None:
    with _lock:
        _webhook_counts[result] += 1


def flush_if_due() -> None:
    """Store the counts, if the last time was a second ago or longer."""
    if time.monotonic() - _flushed_at >= INTERVAL_SECONDS:
        flush_webhook_counts()


def flush_webhook_counts() -> None:
    """Store the counts since the last time; a database that doesn't answer leaves them for the next time."""
    global _flushed_at  # noqa: PLW0603 - one a process, as the counts are
    with _lock:
        counts = Counter(_webhook_counts)
        _webhook_counts.clear()
        _flushed_at = time.monotonic()
    try:
        increment([Increment(WEBHOOKS, label=result, value=number) for result, number in counts.items()])
    except Error as error:
        log.warning("webhooks not counted yet", error=type(error).__name__)
        with _lock:
            _webhook_counts.update(counts)
