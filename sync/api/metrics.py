"""`/metrics`: the gauges of the installation, for Prometheus."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sync import attention, registry
from sync.api.errors import error_response
from sync.api.service_endpoints import DATABASE_DOWN, require_secret
from sync.attention import Kind
from sync.choices import QueueStatus, RecordSyncStatus
from sync.limits import BlockedKind
from sync.records import availability

log = structlog.get_logger(__name__)

PREFIX = "npd_sync_"

# The gauges, each with its labels and its meaning.
GAUGES: dict[str, tuple[tuple[str, ...], str]] = {
    "jobs": (("board", "status"), "Jobs by status: pending, in_progress, failed."),
    "jobs_due": (("board",), "Jobs whose time has come, on a board that can be synced now; 0 where it can't."),
    "oldest_due_seconds": (("board",), "For how long the oldest due job could have been synced already."),
    "oldest_claim_seconds": (("board",), "How long ago the oldest job in progress was claimed."),
    "board_waits": (("board", "reason"), "1 for the reason why a board isn't synced now; all 0 if it is."),
    "last_pass_timestamp_seconds": (("board",), "When a pass last called Monday; absent before the first."),
    "last_sweep_timestamp_seconds": (
        ("board",),
        "When the board was last checked for missed changes; absent before the first check.",
    ),
    "webhooks_silent": (("board",), "1 where changes were found that no webhook had reported."),
    "account_stopped": (
        (),
        "1 while a stop of the account waits: after an outage until a probe is answered, or while Monday asks to wait.",
    ),
    "api_calls_today": ((), "API calls of this UTC day by everyone who uses the account."),
    "api_calls_limit": ((), "API calls that the plan allows a day; absent where that isn't known."),
    "records": (("board", "status"), "Records by sync status."),
    "attention": (
        ("board", "kind"),
        "Things that wait for a person; the board label is empty for what concerns all boards.",
    ),
    "last_comparison_timestamp_seconds": (("board",), "When the last nightly comparison ended; absent before it."),
    "records_different": (
        ("board",),
        "Records that said synced and differed in the last nightly comparison: there should be none.",
    ),
}

# For each gauge, its numbers by the values of its labels.
Samples = dict[str, Mapping[Any, float]]


class InstallationCollector(Collector):
    """Reads the gauges from the database at each scrape, so that every web process answers the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        overview = availability.Overview()
        samples = queue_samples(overview) | board_samples(overview) | account_samples(overview) | record_samples()
        for name, (labels, meaning) in GAUGES.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=labels)
            for values, number in samples[name].items():
                family.add_metric(values, float(number))
            yield family


def queue_samples(overview: availability.Overview) -> Samples:
    # Without finished jobs, because counting them would read all of them.
    statuses = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
    boards = [board for board in overview.boards if board.link is not None]
    # With zeros, because a series that begins at its first event hides that event from an alert.
    numbers = {(board.entity_type, job_status.value): 0 for board, job_status in product(boards, statuses)}
    for board in boards:
        for job in overview.jobs[board.entity_type]:
            numbers[board.entity_type, job.status] += job.number

    def age(since: datetime | None) -> float:
        return (overview.now - since).total_seconds() if since else 0

    return {
        "jobs": numbers,
        "jobs_due": {(board.entity_type,): overview.number_due(board) for board in boards},
        "oldest_due_seconds": {(board.entity_type,): age(overview.due_since(board)) for board in boards},
        "oldest_claim_seconds": {(board.entity_type,): age(overview.claimed_since(board)) for board in boards},
    }


def board_samples(overview: availability.Overview) -> Samples:
    links = overview.links.items()
    return {
        "board_waits": {
            (board.entity_type, kind.value): kind is board.reason_code
            for board, kind in product(overview.boards, BlockedKind)
        },
        "last_pass_timestamp_seconds": {
            (entity_type,): link.last_pass_at.timestamp() for entity_type, link in links if link.last_pass_at
        },
        "last_sweep_timestamp_seconds": {
            (entity_type,): link.swept_at.timestamp() for entity_type, link in links if link.swept_at
        },
        "webhooks_silent": {(entity_type,): bool(link.silence) for entity_type, link in links},
        "last_comparison_timestamp_seconds": {
            (entity_type,): link.verified_at.timestamp() for entity_type, link in links if link.verified_at
        },
        "records_different": {(entity_type,): link.differed_records for entity_type, link in links if link.verified_at},
    }


def account_samples(overview: availability.Overview) -> Samples:
    limit = overview.quota.day_limit
    return {
        "account_stopped": {(): attention.waiting(kinds=[Kind.STOP]).filter(entity_type="").exists()},
        "api_calls_today": {(): float(overview.quota.used_today)},
        "api_calls_limit": {} if limit is None else {(): limit},
    }


def record_samples() -> Samples:
    types = [spec.entity_type for spec in registry.entities()]
    records = dict.fromkeys(product(types, RecordSyncStatus.values), 0)
    for spec in registry.entities():
        rows = spec.model.objects.order_by().values_list("sync_status")
        records |= {(spec.entity_type, status): number for status, number in rows.annotate(Count("pk"))}
    waiting = dict.fromkeys(product([*types, ""], [kind.value for kind in Kind]), 0)
    entries = attention.without_notices(attention.waiting())
    counted = entries.order_by().values_list("entity_type", "kind").annotate(Count("pk"))
    waiting |= {(entity_type, kind): number for entity_type, kind, number in counted}
    return {"records": records, "attention": waiting}


@never_cache
@require_safe
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures, the same from every process."""
    if refused := require_secret(request, "METRICS_TOKEN", "metrics_token"):
        return refused
    try:
        # Every scraper reads this format, and the library fails on an Accept header with a version that is no number.
        return HttpResponse(generate_latest(InstallationCollector()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    except (OperationalError, InterfaceError) as error:
        log.warning("database not reachable", error=type(error).__name__)
        return error_response(503, "no_database", DATABASE_DOWN)
