"""Endpoints for other machines: probes, Prometheus, the scheduler, Monday's webhooks; the API's schema."""

import hmac
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import product
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import Error, InterfaceError, OperationalError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from rest_framework.exceptions import NotAuthenticated

from sync import attention, registry
from sync.api.errors import error_response, post_only
from sync.api.views import HasAnyPermission
from sync.attention import Kind
from sync.choices import QueueStatus, RecordSyncStatus
from sync.limits import BlockedKind
from sync.outbox import notify
from sync.queue import SyncQueueService
from sync.records import availability, inbox
from sync.records.availability import overdue_boards

log = structlog.get_logger(__name__)
BROKER_SECONDS = 5  # a busy machine takes a second, which is no outage
DATABASE_DOWN = "The database doesn't answer: check DATABASE_URL and the server."


def _has_bearer_token(request: HttpRequest, secret: str) -> bool:
    """Whether the request has this bearer secret; compared in constant time, which reveals nothing of it."""
    scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
    # `compare_digest` takes no text beyond ASCII, which a header may hold.
    sent = credentials.strip().encode(errors="replace")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent, secret.encode())


def _refuse_stranger(request: HttpRequest, setting: str, code: str) -> JsonResponse | None:
    """The error of a request without the secret of this setting, or of an address whose secret isn't set."""
    secret = getattr(settings, setting)
    if not secret:
        return error_response(403, "closed", f"This address is closed: set {setting}, then send it as Bearer.")
    if _has_bearer_token(request, secret):
        return None
    answer = error_response(401, code, f"Send “Authorization: Bearer …” with the value of {setting}.")
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answers while this process runs, without the database or the broker."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, else 503 with every reason."""
    reasons = [*database_problems(), *broker_problems()]
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


def database_problems() -> list[str]:
    """Why the database, or a board's queue in it, is not well: by the age of rows and not by processes."""
    longest = settings.READY_MAX_DUE_SECONDS
    try:
        late_boards = overdue_boards(longest)
    except Error as error:
        log.warning("database not reachable", error=type(error).__name__)
        return [DATABASE_DOWN]
    return [
        f"The oldest due job of the {board.entity_type} board has waited for {board.seconds:,.0f} s, "
        f"none has moved for {longest:,.0f} s: {board.reason}."
        for board in late_boards
    ]


def broker_problems() -> list[str]:
    """Why the broker is not well; nothing when it answers within BROKER_SECONDS."""
    # In a thread, because a broker that accepts the connection and then says nothing would block longer than this.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readyz")
    try:
        pool.submit(_connect_to_broker).result(timeout=BROKER_SECONDS)
    except Exception as error:  # any error of the broker's library, or our own timeout
        reason = notify.broker_problem(error)
        log.warning("broker not reachable", error=type(error).__name__, why=reason)
        return [reason]
    finally:
        pool.shutdown(wait=False)
    return []


def _connect_to_broker() -> None:
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)


# `GET /metrics`: how everything stands, for Prometheus.


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The installation's figures, from whichever process answers; needs METRICS_TOKEN."""
    if refused := _refuse_stranger(request, "METRICS_TOKEN", "metrics_token"):
        return refused
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(REGISTRY), content_type=content_type)
    except (OperationalError, InterfaceError) as error:
        log.warning("database not reachable", error=type(error).__name__)
        return error_response(503, "no_database", DATABASE_DOWN)


# `POST /cron/sync-queue`: works the queue where no worker runs, called by a scheduler.


CRON_SECONDS = 25  # after which no pass begins: schedulers give up after 30


@csrf_exempt
@post_only
def work_queue(request: HttpRequest) -> JsonResponse:
    """Work what is due and answer how much it was."""
    if refused := _refuse_stranger(request, "CRON_SECRET", "wrong_secret"):
        return refused
    summary = SyncQueueService().process(seconds=CRON_SECONDS)
    figures = ("claimed", "completed", "failed", "waiting")
    return JsonResponse({name: getattr(summary, name) for name in figures})


# `POST /webhooks/monday/` and `/webhooks/monday/{token}/`: the two addresses for Monday's webhooks.


@csrf_exempt
@post_only
def receive_webhook(request: HttpRequest, token: str | None = None) -> JsonResponse:
    """Pass the delivery to the inbox.

    One whose announced length is too large is refused without being read.
    """
    try:
        is_too_large = int(request.META.get("CONTENT_LENGTH") or 0) > inbox.MAX_BODY_BYTES
    except ValueError:
        # No number, or one of thousands of digits.
        is_too_large = True
    if is_too_large:
        return error_response(*inbox.TOO_LARGE)
    authorization = request.headers.get("Authorization")
    try:
        body = inbox.receive(request.body, authorization=authorization, path_token=token, path=request.path)
    except inbox.DeliveryRefused as refusal:
        return error_response(refusal.status, refusal.code, str(refusal))
    return JsonResponse(body)


class SchemaView(SpectacularAPIView):
    """The schema as OpenAPI, in YAML or JSON."""

    http_method_names = ["get", "head"]
    permission_classes = [HasAnyPermission]


class DocsView(SpectacularSwaggerSplitView):
    """The schema to read and try.

    Its script is a response of its own, because our CSP allows no inline script.
    """

    http_method_names = ["get", "head"]  # of OPTIONS the library has no page
    permission_classes = [HasAnyPermission]

    def handle_exception(self, exc: Exception) -> Any:
        """Send a browser to the login instead of showing it a 401."""
        if isinstance(exc, NotAuthenticated) and "text/html" in self.request.headers.get("Accept", ""):
            answer: HttpResponseBase = redirect_to_login(self.request.get_full_path(), reverse("admin:login"))
            return answer
        return super().handle_exception(exc)


# What a scrape of `/metrics` answers: gauges, each read from rows at the scrape.

PREFIX = "npd_sync_"

# The labels of each gauge, and what it means.
GAUGES: dict[str, tuple[tuple[str, ...], str]] = {
    "jobs": (("board", "status"), "Jobs by status: pending, in_progress, failed."),
    "jobs_due": (("board",), "Jobs whose time has come, on a board that can be worked now; 0 where it can't."),
    "oldest_due_seconds": (("board",), "For how long the job that is due longest could have been worked."),
    "oldest_claim_seconds": (("board",), "How long ago the oldest job in progress was claimed."),
    "board_waits": (("board", "reason"), "1 for the reason for which a board is not worked now; all 0 where it is."),
    "last_pass_timestamp_seconds": (("board",), "When a pass last called Monday; absent before the first."),
    "last_sweep_timestamp_seconds": (
        ("board",), "When the board was last asked what webhooks had missed; absent before it.",
    ),
    "webhooks_silent": (("board",), "1 where changes were found that no webhook had reported."),
    "account_stopped": (
        (), "1 while no board calls Monday: after an outage until a probe is answered, or while Monday asks to wait.",
    ),
    "api_calls_today": ((), "API calls of this UTC day by everyone who uses the account."),
    "api_calls_limit": ((), "API calls that the plan allows a day; absent where that isn't known."),
    "records": (("board", "status"), "Records by sync status."),
    "attention": (("board", "kind"), "Things that wait for a person; of no board what concerns all of them."),
    "last_comparison_timestamp_seconds": (("board",), "When the last nightly comparison ended; absent before it."),
    "records_different": (
        ("board",),
        "Records that said synced and differed in the last nightly comparison: there should be none.",
    ),
}  # fmt: skip

# The values of gauges by their labels.
Samples = dict[str, Mapping[Any, float]]


class InstallationCollector(Collector):
    """Reads the whole installation from its database, so that every web process answers the same."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = availability.overview()
        samples = queue_samples(status) | board_samples(status) | account_samples(status) | record_samples()
        for name, (labels, meaning) in GAUGES.items():
            family = GaugeMetricFamily(f"{PREFIX}{name}", meaning, labels=labels)
            for values, number in samples[name].items():
                family.add_metric(values, float(number))
            yield family


def queue_samples(status: availability.Overview) -> Samples:
    # Finished jobs are no gauge: counting them would read all of them.
    statuses = (QueueStatus.PENDING, QueueStatus.IN_PROGRESS, QueueStatus.FAILED)
    boards = [board for board in status.boards if board.link is not None]
    # Zeros too: a series that begins at its first event hides that event from an alert.
    numbers = {(board.entity_type, job_status.value): 0 for board, job_status in product(boards, statuses)}
    for board in boards:
        for job in status.jobs(board.entity_type):
            numbers[board.entity_type, job.status] += job.number

    def age(since: datetime | None) -> float:
        return (status.now - since).total_seconds() if since else 0

    return {
        "jobs": numbers,
        "jobs_due": {(board.entity_type,): status.number_due(board) for board in boards},
        "oldest_due_seconds": {(board.entity_type,): age(status.due_since(board)) for board in boards},
        "oldest_claim_seconds": {(board.entity_type,): age(status.claimed_since(board)) for board in boards},
    }


def board_samples(status: availability.Overview) -> Samples:
    links = status.links.items()
    return {
        "board_waits": {
            (board.entity_type, kind.value): kind is board.reason_code
            for board, kind in product(status.boards, BlockedKind)
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


def account_samples(status: availability.Overview) -> Samples:
    account = status.account
    waits = account.stopped_until is not None and account.stopped_until > status.now
    limit = status.budget.day_limit
    return {
        "account_stopped": {(): account.needs_probe or waits},
        "api_calls_today": {(): float(status.budget.used_today)},
        "api_calls_limit": {} if limit is None else {(): limit},
    }


def record_samples() -> Samples:
    types = [spec.entity_type for spec in registry.entities()]
    records = dict.fromkeys(product(types, RecordSyncStatus.values), 0)
    for spec in registry.entities():
        rows = spec.model._default_manager.order_by().values_list("sync_status")
        records |= {(spec.entity_type, status): number for status, number in rows.annotate(Count("pk"))}
    waiting = dict.fromkeys(product([*types, ""], [kind.value for kind in Kind]), 0)
    counted = attention.waiting().order_by().values_list("entity_type", "kind").annotate(Count("pk"))
    waiting |= {(entity_type, kind): number for entity_type, kind, number in counted}
    return {"records": records, "attention": waiting}


REGISTRY = CollectorRegistry(auto_describe=False)
REGISTRY.register(InstallationCollector())
