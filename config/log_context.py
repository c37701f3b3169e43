"""What log lines say of where they come from: a request's id, a task's name and id. Nothing of it outlives its work."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from celery.signals import task_postrun, task_prerun
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars

HEADER = "X-Request-ID"
# Without dots, so that nobody's JWT is taken for one; short, for it stands in every line.
GIVEN = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestIdMiddleware:
    """Bind the request's id, a proxy's where it sends one, to every line of the request; the answer names it too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer the request."""
        given = request.headers.get(HEADER, "")
        request_id = given if GIVEN.fullmatch(given) else uuid.uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response.headers[HEADER] = request_id
        return response


@receiver(request_finished)
def end_request(**kwargs: object) -> None:
    """After the answer was sent: Django itself logs a refusal only when every middleware is done."""
    clear_contextvars()


@task_prerun.connect
def begin_task(task_id: str, task: object, **kwargs: object) -> None:
    """Lines from here on name the task."""
    clear_contextvars()
    bind_contextvars(task=getattr(task, "name", ""), task_id=task_id)


@task_postrun.connect
def end_task(**kwargs: object) -> None:
    """The next task of this process begins with nothing of it."""
    clear_contextvars()
