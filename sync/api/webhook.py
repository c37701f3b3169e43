"""`POST /webhooks/monday/` and `/webhooks/monday/{token}/`: the two doors for Monday's webhooks."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sync import inbox
from sync.api.problems import problem
from sync.metrics import webhooks


@csrf_exempt
@require_POST
def monday(request: HttpRequest, token: str | None = None) -> JsonResponse:
    """Hand the delivery to the inbox; a body that is too long is not even read."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > inbox.MAX_BODY_BYTES:
        received = inbox.TOO_LARGE
        webhooks.note(webhooks.REFUSED)
    else:
        received = inbox.receive(
            request.body,
            authorization=request.headers.get("Authorization"),
            path_token=token,
            path=request.path,
        )
    webhooks.store_when_due()
    if received.code:
        return problem(received.status, received.code, received.sentence)
    return JsonResponse(received.body, status=received.status)
