"""Endpoints for other machines: probes, the scheduler, Monday's webhooks, `/metrics`; and the API's schema."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import Error
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from rest_framework.exceptions import NotAuthenticated

from sync import attention, registry
from sync.api.api_base import HasAnyPermission
from sync.api.errors import error_response, post_only
from sync.boards import availability
from sync.choices import QueueStatus, RecordSyncStatus
from sync.kernel.schema import schema_problem
from sync.limits.api_quota import WaitKind
from sync.models import SyncQueue
from sync.monday.lag import LAG_BUCKETS
from sync.operations import readiness
from sync.outbox.wakeups import broker_problem
from sync.queue import SyncQueueService
from sync.records import inbox

log = structlog.get_logger(__name__)
# No pass begins after this time; schedulers give up after 30 s.
CRON_SECONDS = 25
DATABASE_DOWN = "The database doesn't answer: check DATABASE_URL and the server."


def refusal_without_secret(request: HttpRequest, setting: str, code: str) -> JsonResponse | None:
    """Return 401 if the request lacks the setting's secret, 403 if the setting is empty, None if all is well."""
    secret = getattr(settings, setting)
    if not secret:
        return error_response(403, "closed", f"This address is closed: set {setting}, then send it as Bearer.")
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and constant_time_compare(credentials.strip(), secret):
        return None
    response = error_response(401, code, f"Send “Authorization: Bearer …” with the value of {setting}.")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as this process runs, without the database or the broker."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if all is well, otherwise 503 with every reason."""
    reasons = installation_problems()
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


def installation_problems() -> list[str]:
    """Return the problems of the database, the broker, the schedule, the clocks and the queue.

    The queue is judged by how long due jobs have waited, not by which processes run.
    """
    longest = settings.READY_MAX_DUE_SECONDS
    broker = broker_problem()
    try:
        if problem := schema_problem():
            return [problem, *filter(None, [broker])]
        problems = [broker, readiness.write_problem(), readiness.schedule_problem()]
        problems += readiness.clock_problems()
        late_boards = readiness.overdue_boards(longest)
    except Error as error:
        log.warning("database not reachable", error=type(error).__name__)
        return [DATABASE_DOWN, *filter(None, [broker])]
    problems += [
        f"The oldest due job of the {board.entity_type} board has waited for {board.seconds:,.0f} s, "
        f"none has moved for {longest:,.0f} s: {(broker or board.reason).rstrip('.')}."
        for board in late_boards
    ]
    return [*filter(None, problems)]


@csrf_exempt
@post_only
def work_queue(request: HttpRequest) -> JsonResponse:
    """`POST /cron/sync-queue`: work due jobs for up to CRON_SECONDS, where a scheduler replaces the worker."""
    if refusal := refusal_without_secret(request, "CRON_SECRET", "wrong_secret"):
        return refusal
    summary = SyncQueueService().process(seconds=CRON_SECONDS)
    return JsonResponse(
        {
            "claimed": summary.checked,
            "completed": summary.completed,
            "failed": summary.failed,
            "waiting": SyncQueue.objects.filter(status=QueueStatus.PENDING).count(),
        }
    )


@csrf_exempt
@post_only
def receive_webhook(request: HttpRequest, token: str | None = None) -> JsonResponse:
    """`POST /webhooks/monday/` and `/webhooks/monday/{token}/`: pass the delivery to the inbox.

    If its announced length is too large, it is refused without being read.
    """
    try:
        is_too_large = int(request.META.get("CONTENT_LENGTH") or 0) > inbox.MAX_BODY_BYTES
    except ValueError:
        is_too_large = True  # no number, or one of thousands of digits
    if is_too_large:
        return error_response(*inbox.TOO_LARGE)
    authorization = request.headers.get("Authorization")
    try:
        body = inbox.receive(request.body, authorization=authorization, path_token=token, path=request.path)
    except inbox.DeliveryRefused as refusal:
        return error_response(refusal.status, refusal.code, str(refusal))
    return JsonResponse(body)


# `/metrics`.

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

    def collect(self) -> Iterator[Metric]:
        overview = availability.Overview()
        samples = queue_samples(overview) | board_samples(overview) | account_samples(overview) | record_samples()
        for name, (labels, meaning) in GAUGES.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=labels)
            for values, number in samples[name].items():
                family.add_metric(values, float(number))
            yield family
        yield read_lags(overview)


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
            for board, kind in product(overview.boards, WaitKind)
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


def read_lags(overview: availability.Overview) -> HistogramMetricFamily:
    meaning = "Seconds until a read showed what Monday had reported, or what was written, where an earlier read didn't."
    family = HistogramMetricFamily(f"{PREFIX}read_lag_seconds", meaning, labels=("board",))
    for entity_type, link in overview.links.items():
        total = 0
        buckets = []
        for limit in (*map(str, LAG_BUCKETS), "inf"):
            total += link.read_lags.get(limit, 0)
            buckets.append(("+Inf" if limit == "inf" else limit, total))
        family.add_metric((entity_type,), buckets, link.read_lags.get("sum", 0.0))
    return family


def account_samples(overview: availability.Overview) -> Samples:
    limit = overview.quota.day_limit
    return {
        "account_stopped": {(): attention.waiting(kinds=[attention.Kind.STOP]).filter(entity_type="").exists()},
        "api_calls_today": {(): float(overview.quota.used_today)},
        "api_calls_limit": {} if limit is None else {(): limit},
    }


def record_samples() -> Samples:
    types = [spec.entity_type for spec in registry.entities()]
    records = dict.fromkeys(product(types, RecordSyncStatus.values), 0)
    for spec in registry.entities():
        rows = spec.model.objects.order_by().values_list("sync_status")
        records |= {(spec.entity_type, status): number for status, number in rows.annotate(Count("pk"))}
    waiting = dict.fromkeys(product([*types, ""], [kind.value for kind in attention.Kind]), 0)
    entries = attention.without_notices(attention.waiting())
    counted = entries.order_by().values_list("entity_type", "kind").annotate(Count("pk"))
    waiting |= {(entity_type, kind): number for entity_type, kind, number in counted}
    return {"records": records, "attention": waiting}


@never_cache
@require_safe
def show_metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures, the same from every process."""
    if refusal := refusal_without_secret(request, "METRICS_TOKEN", "metrics_token"):
        return refusal
    try:
        # Every scraper reads this format, and the library fails on an Accept header whose version isn't a number.
        return HttpResponse(generate_latest(InstallationCollector()), content_type=CONTENT_TYPE_PLAIN_0_0_4)
    except Error as error:
        log.warning("database not reachable", error=type(error).__name__)
        return error_response(503, "no_database", DATABASE_DOWN)


# The API's schema.


class SchemaView(SpectacularAPIView):
    """The OpenAPI schema, in YAML or JSON."""

    http_method_names = ["get", "head"]
    permission_classes = [HasAnyPermission]


class DocsView(SpectacularSwaggerSplitView):
    """The schema as a page, on which it can be tried.

    Its script is a response of its own, because our CSP forbids inline scripts.
    """

    http_method_names = ["get", "head"]  # no OPTIONS: the library has no page for it
    permission_classes = [HasAnyPermission]

    def handle_exception(self, exc: Exception) -> Any:
        """Redirect a browser to the login instead of answering 401."""
        if isinstance(exc, NotAuthenticated) and "text/html" in self.request.headers.get("Accept", ""):
            response: HttpResponseBase = redirect_to_login(self.request.get_full_path(), reverse("admin:login"))
            return response
        return super().handle_exception(exc)
