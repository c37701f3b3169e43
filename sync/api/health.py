"""`/healthz` (this process answers) and `/readyz` (so does what it needs)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import structlog
from celery import current_app
from django.conf import settings
from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from sync.due import overdue

log = structlog.get_logger(__name__)

BROKER_SECONDS = 1
MAX_DUE_SECONDS = 300.0


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; asks nothing of the database or the broker."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when all is well, else 503 with every reason."""
    reasons = [*database_trouble(), *broker_trouble()]
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)


def database_trouble() -> list[str]:
    """Why the database, or a board's queue in it, is not well: by the age of rows, whatever processes there are."""
    longest = float(getattr(settings, "READY_MAX_DUE_SECONDS", MAX_DUE_SECONDS))
    try:
        late = overdue(longest)
    except Error as error:
        log.warning("database not reachable", error=type(error).__name__)
        return ["The database doesn't answer: check DATABASE_URL and the server."]
    return [
        f"The oldest due row of the {one.entity_type} board has waited for {one.seconds:,.0f} s "
        f"(at most {longest:,.0f} is well): {one.why}."
        for one in late
    ]


def broker_trouble() -> list[str]:
    """Why the broker is not well; nothing when it answers within a second."""
    # In a thread, for a broker that takes the connection and says nothing would hold us longer.
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readyz")
    try:
        pool.submit(_ask_the_broker).result(timeout=BROKER_SECONDS)
    except Exception as error:  # whatever the broker's library raises, or our own time-out
        log.warning("broker not reachable", error=type(error).__name__)
        return ["Celery's broker doesn't answer: check CELERY_BROKER_URL or REDIS_URL, and the server."]
    finally:
        pool.shutdown(wait=False)
    return []


def _ask_the_broker() -> None:
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_SECONDS)
