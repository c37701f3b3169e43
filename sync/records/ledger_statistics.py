"""The figures of sync, computed from the ledger for the API.

The ledger has of each thing its last attempt, so a window counts every thing once: by when it was last tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from math import ceil
from statistics import median
from typing import Any

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, UUIDField, Value, When
from django.db.models.functions import Cast

from sync import registry
from sync.choices import QueueStatus, SyncStatus
from sync.clock import sync_now
from sync.kernel.conflict_store import current_store
from sync.kernel.db import fetch_rows
from sync.models import SyncQueue

DAY = timedelta(hours=24)
MAX_HOURS = 24 * 366
"""The longest window that may be asked for."""
MAX_ERRORS = 10
MAX_BARS = 24
"""Bars of the chart; a longer window has bars of several hours."""

# What an own record waits for stands in the queue: a save writes no third row. Errors that differ in numbers and ids
# alone are one. A record in backoff waits in the queue again, but its last attempt failed. A batch's calls stand on
# each of its rows. Materialized, so that the wide rows are read once.
_FIGURES = """
    WITH jobs AS (
        SELECT entity_type, entity_id::text AS entity_id, bool_or(status = 'in_progress') AS worked,
            min(created_at) AS since FROM sync_queue
        WHERE status IN ('pending', 'in_progress') AND entity_id IS NOT NULL GROUP BY 1, 2
    ), everything AS MATERIALIZED (
        SELECT ledger.system, ledger.entity_type, ledger.entity_id, ledger.sync_direction AS direction,
            CASE WHEN jobs.entity_id IS NULL OR ledger.sync_status = 'skipped' THEN ledger.sync_status
                WHEN jobs.worked THEN 'in_progress' ELSE 'pending' END AS status,
            ledger.last_sync_attempt AS tried, ledger.last_successful_sync AS succeeded, ledger.last_error AS error,
            ledger.sync_duration_ms AS ms, ledger.api_calls_count AS calls,
            coalesce(ledger.sync_batch_id::text, ledger.id::text) AS batch,
            ledger.conflicts <> '{}' AND ledger.entity_type <> ALL (%(own)s) AS disputed, jobs.since AS waits,
            ledger.conflict_opened_at AS opened, ledger.conflict_resolved_at AS resolved
        FROM sync_metadata AS ledger LEFT JOIN jobs ON ledger.system = 'monday'
            AND jobs.entity_type = ledger.entity_type AND jobs.entity_id = ledger.entity_id
    ), chosen AS (
        SELECT * FROM everything WHERE (%(system)s::text IS NULL OR system = %(system)s)
            AND (%(entity_type)s::text IS NULL OR entity_type = %(entity_type)s)
            AND (%(status)s::text IS NULL OR status = %(status)s)
            AND (%(direction)s::text IS NULL OR direction = %(direction)s)
    ), tried AS MATERIALIZED (
        SELECT *, status = 'failed' OR (error <> '' AND waits IS NOT NULL) AS has_failed,
            %(bars)s - 1 - floor(extract(epoch FROM %(now)s - tried) / %(bar)s)::int AS bar FROM chosen
        WHERE tried > %(since)s AND tried <= %(now)s
    )
    SELECT jsonb_build_object(
        'groups', (SELECT coalesce(jsonb_agg(to_jsonb(one) ORDER BY system, entity_type, status, direction), '[]')
            FROM (SELECT system, entity_type, status, direction, count(*) AS number FROM chosen
                GROUP BY 1, 2, 3, 4) AS one),
        'outcomes', (SELECT coalesce(jsonb_agg(to_jsonb(one) ORDER BY system, entity_type), '[]') FROM (
            SELECT system, entity_type, count(*) AS tried, count(*) FILTER (WHERE status = 'completed') AS completed,
                count(*) FILTER (WHERE has_failed) AS failed FROM tried GROUP BY 1, 2) AS one),
        'durations', (SELECT to_jsonb(percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms)) FROM tried),
        'batches', (SELECT jsonb_build_array(count(*), coalesce(sum(calls), 0)) FROM (
            SELECT max(calls) AS calls FROM tried GROUP BY batch) AS one),
        'bars', (SELECT coalesce(jsonb_object_agg(bar, numbers), '{}') FROM (
            SELECT bar, jsonb_build_array(count(*) FILTER (WHERE has_failed), count(*)) AS numbers
            FROM tried GROUP BY 1) AS one),
        'errors', (SELECT coalesce(jsonb_agg(to_jsonb(one) - 'kind' ORDER BY number DESC, kind), '[]') FROM (
            SELECT regexp_replace(left(error, 300), '[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]+', '#', 'g') AS kind,
                count(*) AS number, max(tried) AS newest, (array_agg(error ORDER BY tried DESC))[1] AS example,
                (array_agg(entity_type ORDER BY tried DESC))[1] AS entity_type,
                (array_agg(entity_id ORDER BY tried DESC))[1] AS entity_id
            FROM tried WHERE error <> '' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %(errors)s) AS one),
        'conflicts', (SELECT jsonb_build_object('open', count(*) FILTER (WHERE disputed),
                'opened', count(*) FILTER (WHERE opened > %(since)s),
                'resolved', count(*) FILTER (WHERE resolved > %(since)s),
                'waited', coalesce(jsonb_agg(extract(epoch FROM resolved - opened))
                    FILTER (WHERE resolved > %(since)s AND resolved > opened), '[]'))
            FROM everything WHERE (%(system)s::text IS NULL OR system = %(system)s)
            AND (%(entity_type)s::text IS NULL OR entity_type = %(entity_type)s)),
        'unsynced', (SELECT to_jsonb(one) FROM (
            SELECT system, entity_type, entity_id, status, succeeded FROM chosen
            WHERE status IN ('pending', 'in_progress', 'failed') AND succeeded IS NOT NULL
            ORDER BY coalesce(waits, succeeded) LIMIT 1) AS one),
        'never', (SELECT count(*) FROM chosen WHERE succeeded IS NULL AND status <> 'skipped'))
"""


@dataclass(frozen=True)
class Selection:
    """What is counted: rows of one system, type, status or direction where these are named, within a window."""

    system: str | None = None
    entity_type: str | None = None
    status: str | None = None
    direction: str | None = None
    window: timedelta = DAY


@dataclass(frozen=True)
class ErrorKind:
    """Errors that differ in numbers and ids alone: how many things they last failed with, and the newest as example."""

    number: int
    example: str
    entity_type: str
    entity_id: str
    newest: datetime


@dataclass(frozen=True)
class Bar:
    """A part of the window: when it begins, and how many things were last tried in it, and of them failed."""

    since: datetime
    tried: int
    failed: int


@dataclass(frozen=True)
class Unsynced:
    """The thing that is out of sync the longest: since its oldest job came, or else since it was last in sync."""

    system: str
    entity_type: str
    entity_id: str
    status: str
    last_successful_sync: datetime


@dataclass(frozen=True)
class Conflicts:
    """Open ones of now, those opened and resolved within the window, and how long half of these waited, in seconds,
    apart from those that a strategy decided at once.

    They are of the selection's system and type: a conflict has neither direction nor status.
    """

    open: int = 0
    opened: int = 0
    resolved: int = 0
    median_wait_seconds: float | None = None


@dataclass(frozen=True)
class LedgerStatistics:
    """The figures of a selection at one moment.

    `groups` counts all rows by system, type, status and direction; `outcomes` those tried within the window by system
    and type, as (tried, completed, failed). Durations are of the pass or batch that carried a thing, in milliseconds,
    the median, 95 and 99 of 100. Ratios are None where nothing was tried; those of calls also where the selection may
    have a part of a batch only, whose calls are those of the whole (`is_of_whole_batches`).
    """

    now: datetime
    since: datetime
    groups: Mapping[tuple[str, str, str, str], int] = field(default_factory=dict)
    outcomes: Mapping[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    duration_ms: Sequence[int] = ()
    batches: int = 0
    api_calls: int = 0
    bars: Sequence[Bar] = ()
    errors: Sequence[ErrorKind] = ()
    conflicts: Conflicts = Conflicts()
    oldest_unsynced: Unsynced | None = None
    never_synced: int = 0
    is_of_whole_batches: bool = True

    @property
    def total(self) -> int:
        """All rows of the selection, whenever they were tried."""
        return sum(self.groups.values())

    @property
    def by_status(self) -> dict[str, int]:
        found = dict.fromkeys(SyncStatus.values, 0)
        for (_system, _type, status, _direction), number in self.groups.items():
            found[status] += number
        return found

    @property
    def tried(self) -> int:
        """Things that were last tried within the window."""
        return sum(tried for tried, _completed, _failed in self.outcomes.values())

    @property
    def success_rate(self) -> float | None:
        """Of those that came to an end within the window the share that did not fail, 0 to 1."""
        return success_rate(self.outcomes.values())

    @property
    def per_hour(self) -> float:
        return self.tried / ((self.now - self.since) / timedelta(hours=1))

    @property
    def calls_per_thing(self) -> float | None:
        """Calls of the other system's API for each thing tried."""
        return self.api_calls / self.tried if self.tried and self.is_of_whole_batches else None

    @property
    def calls_per_batch(self) -> float | None:
        return self.api_calls / self.batches if self.batches and self.is_of_whole_batches else None

    def to_json(self) -> dict[str, Any]:
        """As the API says it: times are datetimes, names are stable."""
        names = ("system", "entity_type", "status", "direction", "number")
        durations = dict(zip(("median", "p95", "p99"), self.duration_ms or (None,) * 3, strict=True))
        return {
            "since": self.since,
            "until": self.now,
            "total": self.total,
            "by_status": self.by_status,
            "groups": [dict(zip(names, (*key, number), strict=True)) for key, number in self.groups.items()],
            "tried": self.tried,
            "success_rate": self.success_rate,
            "per_hour": self.per_hour,
            "duration_ms": durations,
            "api_calls": self.api_calls,
            "api_calls_per_thing": self.calls_per_thing,
            "api_calls_per_batch": self.calls_per_batch,
            "batches": self.batches,
            "conflicts": asdict(self.conflicts),
            "errors": [asdict(error) for error in self.errors],
            "oldest_unsynced": asdict(self.oldest_unsynced) if self.oldest_unsynced else None,
            "never_synced": self.never_synced,
            "hours": [asdict(bar) for bar in self.bars],
        }


def success_rate(outcomes: Iterable[tuple[int, int, int]]) -> float | None:
    """Return the share of (tried, completed, failed) that did not fail; None where nothing came to an end."""
    ended = [(completed, failed) for _tried, completed, failed in outcomes]
    completed, failed = sum(one for one, _ in ended), sum(one for _, one in ended)
    return completed / (completed + failed) if completed + failed else None


def statistics(selection: Selection = Selection(), now: datetime | None = None) -> LedgerStatistics:
    """Compute the figures of a selection, of the database's present time where no other is given; three queries."""
    now = now or sync_now()
    since = now - selection.window
    number = max(1, min(MAX_BARS, ceil(selection.window / timedelta(hours=1))))
    step = selection.window / number
    params = {
        **{name: getattr(selection, name) for name in ("system", "entity_type", "status", "direction")},
        "now": now,
        "since": since,
        "bars": number,
        "bar": step.total_seconds(),
        "errors": MAX_ERRORS,
        "own": [spec.entity_type for spec in registry.entities()],
    }
    [(content,)] = fetch_rows(_FIGURES, params)
    found = json.loads(content)
    batches, api_calls = found["batches"]
    return LedgerStatistics(
        now=now,
        since=since,
        groups={
            (one["system"], one["entity_type"], one["status"], one["direction"]): one["number"]
            for one in found["groups"]
        },
        outcomes={
            (one["system"], one["entity_type"]): (one["tried"], one["completed"], one["failed"])
            for one in found["outcomes"]
        },
        duration_ms=[one for one in found["durations"] or () if one is not None],
        batches=batches,
        api_calls=api_calls,
        bars=[
            Bar(since + step * place, tried, failed)
            for place in range(number)
            for failed, tried in [found["bars"].get(str(place), (0, 0))]
        ],
        errors=[ErrorKind(**one | {"newest": datetime.fromisoformat(one["newest"])}) for one in found["errors"]],
        conflicts=_conflicts(selection, since, found["conflicts"]),
        oldest_unsynced=_unsynced(found["unsynced"]),
        never_synced=found["never"],
        is_of_whole_batches=selection.status is None and selection.direction is None,
    )


def _conflicts(selection: Selection, since: datetime, stored: Mapping[str, Any]) -> Conflicts:
    """Those of other code's rows, and those of this application's own records, which have a store of their own."""
    own = current_store().turnover(since) if selection.system in (None, "monday") else {}
    counted = [one for kind, one in own.items() if selection.entity_type in (None, kind)]
    waits = [*stored["waited"], *(seconds for one in counted for seconds in one.waited_seconds)]
    return Conflicts(
        open=stored["open"] + sum(one.open for one in counted),
        opened=stored["opened"] + sum(one.opened for one in counted),
        resolved=stored["resolved"] + sum(len(one.waited_seconds) for one in counted),
        median_wait_seconds=round(median(waits), 3) if waits else None,
    )


def _unsynced(row: Mapping[str, Any] | None) -> Unsynced | None:
    if row is None:
        return None
    succeeded = datetime.fromisoformat(row["succeeded"])
    return Unsynced(row["system"], row["entity_type"], row["entity_id"], row["status"], succeeded)


def with_served_status(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Add `served_status` to sync states: as stored, but for what the queue says of this application's own records."""

    def in_queue(status: QueueStatus) -> Q:
        # By the queue's own columns, which its index has.
        jobs = SyncQueue.objects.filter(status=status, entity_id=OuterRef("own_id"))
        jobs = jobs.filter(entity_type=OuterRef("entity_type"))
        return Q(Exists(jobs), system="monday", entity_type__in=own)

    own = [spec.entity_type for spec in registry.entities()]
    # Only an own record's id is a UUID for sure.
    is_own = When(system="monday", entity_type__in=own, then=Cast("entity_id", UUIDField()))
    found: QuerySet[Any] = rows.alias(own_id=Case(is_own, output_field=UUIDField())).annotate(
        served_status=Case(
            When(sync_status=SyncStatus.SKIPPED, then=F("sync_status")),
            When(in_queue(QueueStatus.IN_PROGRESS), then=Value(SyncStatus.IN_PROGRESS.value)),
            When(in_queue(QueueStatus.PENDING), then=Value(SyncStatus.PENDING.value)),
            default=F("sync_status"),
            output_field=CharField(choices=SyncStatus.choices),
        )
    )
    return found
