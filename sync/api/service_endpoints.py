"""Endpoints for other machines: probes, Prometheus, the scheduler, Monday's webhooks; the API's schema."""

from __future__ import annotations

import hmac
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from prometheus_client.exposition import choose_encoder
from rest_framework.exceptions import NotAuthenticated

from sync.api.errors import error_response, post_only
from sync.api.views import HasAnyPermission
from sync.outbox import notify
from sync.queue import SyncQueueService
from sync.records import inbox
from sync.records.availability import overdue_boards
from sync.records.metrics import REGISTRY

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
        f"The oldest due job of the {one.entity_type} board has waited for {one.seconds:,.0f} s, none has moved for "
        f"{longest:,.0f} s: {one.reason}."
        for one in late_boards
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
    if int(request.META.get("CONTENT_LENGTH") or 0) > inbox.MAX_BODY_BYTES:
        received = inbox.TOO_LARGE
    else:
        received = inbox.receive(
            request.body, authorization=request.headers.get("Authorization"), path_token=token, path=request.path
        )
    if received.code:
        return error_response(received.status, received.code, received.sentence)
    return JsonResponse(received.body, status=received.status)


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
