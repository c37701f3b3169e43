"""`POST /cron/sync-queue`: works the queue where no worker runs, called by a scheduler."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sync.api.bearer import carries
from sync.api.problems import problem
from sync.queue import SyncQueueService

SECONDS = 25  # after which no look begins: schedulers hang up after 30


@csrf_exempt
@require_POST
def sync_queue(request: HttpRequest) -> JsonResponse:
    """Work what is due and say how much it was."""
    if not settings.CRON_SECRET:
        return problem(403, "closed", "This address is closed: set CRON_SECRET, then send it as Bearer.")
    if not carries(request, settings.CRON_SECRET):
        answer = problem(401, "wrong_secret", "Send “Authorization: Bearer …” with the value of CRON_SECRET.")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer
    summary = SyncQueueService().process(seconds=SECONDS)
    figures = ("claimed", "completed", "failed", "waiting")
    return JsonResponse({name: getattr(summary, name) for name in figures})
