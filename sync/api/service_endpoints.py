"""Endpoints for other machines: probes, the scheduler, Monday's webhooks; and the API's schema."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import current_app
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import NotAuthenticated

from sync.api.errors import error_response, post_only
from sync.api.views import HasAnyPermission
from sync.choices import QueueStatus
from sync.models import SyncQueue
from sync.queue import SyncQueueService
from sync.records import availability, inbox

log = structlog.get_logger(__name__)
# Longer than a busy machine needs (about a second), so that load isn't reported as an outage.
BROKER_SECONDS = 5
# No pass begins after this time; schedulers give up after 30 s.
CRON_SECONDS = 25
BROKER_DOWN = "Celery's broker doesn't answer: check CELERY_BROKER_URL or REDIS_URL, and the server."
DATABASE_DOWN = "The database doesn't answer: check DATABASE_URL and the server."


def require_secret(request: HttpRequest, setting: str, code: str) -> JsonResponse | None:
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
    reasons = [*database_problems(), *broker_problems()]
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


def database_problems() -> list[str]:
    """Return the problems of the database and the queue.

    The queue is judged by how long due jobs have waited, not by which processes run.
    """
    longest = settings.READY_MAX_DUE_SECONDS
    try:
        late_boards = availability.overdue_boards(longest)
    except Error as error:
        log.warning("database not reachable", error=type(error).__name__)
        return [DATABASE_DOWN]
    return [
        f"The oldest due job of the {board.entity_type} board has waited for {board.seconds:,.0f} s, "
        f"none has moved for {longest:,.0f} s: {board.reason}."
        for board in late_boards
    ]


def broker_problems() -> list[str]:
    """Return why the broker can't be used, or an empty list if it answers within BROKER_SECONDS."""

    def connect() -> None:
        with current_app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)

    # In a thread, because a broker that accepts the connection and then stays silent would block for longer.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readyz")
    try:
        pool.submit(connect).result(timeout=BROKER_SECONDS)
    except Exception as error:  # any error of the broker's library, or our own timeout
        log.warning("broker not reachable", error=type(error).__name__)
        return [BROKER_DOWN]
    finally:
        pool.shutdown(wait=False)
    return []


@csrf_exempt
@post_only
def work_queue(request: HttpRequest) -> JsonResponse:
    """`POST /cron/sync-queue`: work due jobs for up to CRON_SECONDS, where a scheduler replaces the worker."""
    if refused := require_secret(request, "CRON_SECRET", "wrong_secret"):
        return refused
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
