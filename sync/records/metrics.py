"""What a scrape of `/metrics` answers: gauges, each read from rows at the scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from django.db.models import Count
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sync import attention, registry
from sync.attention import Kind
from sync.choices import QueueStatus, RecordSyncStatus
from sync.limits import BlockedKind
from sync.models import Verification
from sync.records import availability

PREFIX = "npd_sync_"
BOARD = ("board",)

Samples = Iterable[tuple[tuple[str, ...], float]]
"""The values of one gauge by their labels."""


class InstallationCollector(Collector):
    """Reads the whole installation from its database, so that every web process answers the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = availability.overview()
        yield from queue_gauges(status)
        yield from board_gauges(status)
        yield from account_gauges(status)
        yield from record_gauges()


def queue_gauges(status: availability.Overview) -> Iterator[GaugeMetricFamily]:
    # Finished jobs are no gauge: counting them would read all of them.
    statuses = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
    boards = [board for board in status.boards if board.link is not None]
    # Zeros too: a series that begins at its first event hides that event from an alert.
    numbers = {(board.entity_type, job_status.value): 0 for board, job_status in product(boards, statuses)}
    for board in boards:
        for job in status.jobs(board.entity_type):
            numbers[board.entity_type, job.status] += job.number
    yield gauge("jobs", "Jobs by status: pending, in_progress, failed.", ("board", "status"), numbers.items())
    yield gauge(
        "jobs_due",
        "Jobs whose time has come, on a board that can be worked now; 0 where it can't.",
        BOARD,
        [((board.entity_type,), availability.number_of(status.due(board))) for board in boards],
    )
    due = {(board.entity_type,): status.due_since(board) for board in boards}
    yield gauge(
        "oldest_due_seconds",
        "For how long the job that is due longest could have been worked.",
        BOARD,
        [(labels, (status.now - since).total_seconds() if since else 0) for labels, since in due.items()],
    )
    claims = {(board.entity_type,): status.claimed_since(board) for board in boards}
    yield gauge(
        "oldest_claim_seconds",
        "How long ago the oldest job in progress was claimed.",
        BOARD,
        [(labels, (status.now - since).total_seconds() if since else 0) for labels, since in claims.items()],
    )


def board_gauges(status: availability.Overview) -> Iterator[GaugeMetricFamily]:
    yield gauge(
        "board_waits",
        "1 for the reason for which a board is not worked now; all 0 where it is.",
        ("board", "reason"),
        [
            ((board.entity_type, kind.value), kind is board.reason_code)
            for board, kind in product(status.boards, BlockedKind)
        ],
    )
    links = status.links.items()
    yield gauge(
        "last_pass_timestamp_seconds",
        "When a pass last called Monday; absent before the first.",
        BOARD,
        [((kind,), link.last_pass_at.timestamp()) for kind, link in links if link.last_pass_at],
    )
    yield gauge(
        "last_sweep_timestamp_seconds",
        "When the board was last asked what webhooks had missed; absent before it.",
        BOARD,
        [((kind,), link.swept_at.timestamp()) for kind, link in links if link.swept_at],
    )
    yield gauge(
        "webhooks_silent",
        "1 where changes were found that no webhook had reported.",
        BOARD,
        [((kind,), bool(link.silence)) for kind, link in links],
    )


def account_gauges(status: availability.Overview) -> Iterator[GaugeMetricFamily]:
    account = status.account
    waits = account.stopped_until is not None and account.stopped_until > status.now
    yield gauge(
        "account_stopped",
        "1 while no board calls Monday: after an outage until a probe is answered, or while Monday asks to wait.",
        (),
        [((), account.needs_probe or waits)],
    )
    yield gauge(
        "api_calls_today",
        "API calls of this UTC day by everyone who uses the account.",
        (),
        [((), float(status.budget.used_today))],
    )
    limit = status.budget.quota.day
    yield gauge(
        "api_calls_limit",
        "API calls that the plan allows a day; absent where that isn't known.",
        (),
        [((), limit)] if limit is not None else [],
    )


def record_gauges() -> Iterator[GaugeMetricFamily]:
    types = [spec.entity_type for spec in registry.entities()]
    numbers = dict.fromkeys(product(types, RecordSyncStatus.values), 0)
    for spec in registry.entities():
        rows = spec.model._default_manager.order_by().values_list("sync_status")
        numbers |= {(spec.entity_type, status): number for status, number in rows.annotate(Count("pk"))}
    yield gauge("records", "Records by sync status.", ("board", "status"), numbers.items())
    waiting = dict.fromkeys(product([*types, ""], [kind.value for kind in Kind]), 0)
    counted = attention.waiting().order_by().values_list("entity_type", "kind").annotate(Count("pk"))
    waiting |= {(entity_type, kind): number for entity_type, kind, number in counted}
    yield gauge(
        "attention",
        "Things that wait for a person; of no board what concerns all of them.",
        ("board", "kind"),
        waiting.items(),
    )
    newest = list(
        Verification.objects.filter(entity_type__in=types).order_by("entity_type", "-at").distinct("entity_type")
    )
    yield gauge(
        "last_comparison_timestamp_seconds",
        "When the last nightly comparison ended; absent before it.",
        BOARD,
        [((comparison.entity_type,), comparison.at.timestamp()) for comparison in newest],
    )
    yield gauge(
        "records_different",
        "Records that said synced and differed in the last nightly comparison: there should be none.",
        BOARD,
        [((comparison.entity_type,), comparison.differed) for comparison in newest],
    )


def gauge(name: str, meaning: str, labels: tuple[str, ...], samples: Samples) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(InstallationCollector())
