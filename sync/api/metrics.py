"""`GET /metrics`: how everything stands, for Prometheus."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from sync.api.bearer import carries
from sync.api.problems import problem
from sync.metrics import webhooks
from sync.metrics.collector import REGISTRY

log = structlog.get_logger(__name__)

AWAY = "The database doesn't answer: check DATABASE_URL and the server."
CLOSED = "Send “Authorization: Bearer …” with the value of METRICS_TOKEN."


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The installation's figures, whichever process is asked; with METRICS_TOKEN set, to its bearer only."""
    if settings.METRICS_TOKEN and not carries(request, settings.METRICS_TOKEN):
        answer = problem(401, "metrics_token", CLOSED)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    webhooks.store()
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    try:
        return HttpResponse(encode(REGISTRY), content_type=content_type)
    except (OperationalError, InterfaceError) as error:
        log.warning("database not reachable", error=type(error).__name__)
        return problem(503, "no_database", AWAY)
