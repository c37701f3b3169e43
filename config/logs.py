"""What this installation says of itself, without secrets: log lines, failure pages and error reports.

Every log line, also a library's and a traceback, passes one formatter, which takes the secrets out of the
finished text: by value those that the settings know, by shape the others.
"""

import logging
import re
import uuid
from collections.abc import Callable, Collection, ItemsView, Mapping
from copy import copy
from html import escape
from http import HTTPStatus
from typing import Any

import structlog
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from sync.kernel.secret_texts import HIDDEN, Redactor


class SecretlessFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, with the secrets taken out of the finished line."""

    def __init__(self, *args: Any, redact: Redactor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self.redact(super().format(_of_refusal(record)))


def _of_refusal(record: logging.LogRecord) -> logging.LogRecord:
    """Return Django's line of a refused request (4xx) as one line that has its address's pattern: Django's has the
    address, which may hold a secret, and a traceback of our own refusal.
    """
    status = getattr(record, "status_code", 0)
    request = getattr(record, "request", None)
    if not isinstance(request, HttpRequest) or not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return record
    reason = str(record.args[0]).lower() if isinstance(record.args, tuple) and record.args else ""
    kind = record.name.rpartition("django.security.")[2]
    codes = (code for word, code in _CSRF_CODES.items() if word in reason)
    otherwise = kind if record.name.startswith("django.security.") else HTTPStatus(status).name.lower()
    copied = copy(record)
    match = request.resolver_match
    copied.msg = f"refused {request.method} {match.route if match else '-'}: {status} {next(codes, otherwise)}"
    copied.args = ()
    copied.exc_info = copied.exc_text = copied.stack_info = None
    return copied


# By what Django says: a form without the mark of the page that it came from.
_CSRF_CODES = {
    "origin checking": "csrf_origin", "referer checking": "csrf_referer", "csrf cookie": "csrf_cookie",
    "csrf token": "csrf_token",
}  # fmt: skip


def shared_processors() -> list[Any]:
    """Return what happens to every event, whether it came from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


# One list for the process: a logger keeps the list that it was first used with, also where settings are read again.
EVENT_PROCESSORS = [
    structlog.stdlib.filter_by_level,
    *shared_processors(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]


def logging_config(level: str, json_lines: bool, secrets: Collection[str]) -> dict[str, Any]:
    """Return Django's LOGGING: a line per event to standard error, as JSON or text. Configures structlog."""
    structlog.configure(
        processors=EVENT_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer = structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=False)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": SecretlessFormatter,
                # Not the list itself: dictConfig would copy it, and what joins it later would be printed.
                "redact": Redactor(secrets),
                "foreign_pre_chain": shared_processors(),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
            "nowhere": {"class": "logging.NullHandler"},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            # It logs paths, which of a chat's webhook is a secret: of each call on DEBUG, and as a warning where it
            # can't read an answer's headers.
            "urllib3": {"handlers": [], "level": "ERROR", "propagate": True},
            # It logs the addresses of chats, which are secrets; why a message failed we read of its result.
            "apprise": {"handlers": ["nowhere"], "level": "WARNING", "propagate": False},
        },
    }


# What log lines say of their origin: a request's id, a task's name and id. It ends with the request or task.


HEADER = "X-Request-ID"

# Without dots, so that nobody's JWT looks like one; short, because it is in every line.
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestIdMiddleware:
    """Bind the request's id, a proxy's if it sends one, to every line of the request and to the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        incoming = request.headers.get(HEADER, "")
        request_id = incoming if REQUEST_ID.fullmatch(incoming) else uuid.uuid4().hex
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response.headers[HEADER] = request_id
        return response


@receiver(request_finished)
def end_request(**kwargs: object) -> None:
    # After the answer was sent: Django logs a rejected request only when every middleware is done.
    clear_contextvars()


@task_prerun.connect
def begin_task(task_id: str, task: object, **kwargs: object) -> None:
    """Bind the task's name and id to all lines from here on."""
    clear_contextvars()
    bind_contextvars(task=getattr(task, "name", ""), task_id=task_id)


@task_postrun.connect
def end_task(**kwargs: object) -> None:
    # The process's next task must not log under this one's id.
    clear_contextvars()


# Django's page and mail about an error, without secrets.


DJANGO_HIDDEN_NAMES = SafeExceptionReporterFilter.hidden_settings.pattern
OWN_HIDDEN_NAMES = "DATABASE|BROKER|REDIS|MONDAY|WEBHOOK|CRON|CONNINFO|DSN"


class SecretlessFilter(SafeExceptionReporterFilter):
    """Hides by name: settings, headers, and a function's variables in the traceback, at any depth."""

    hidden_settings = re.compile(f"{DJANGO_HIDDEN_NAMES}|{OWN_HIDDEN_NAMES}", re.IGNORECASE)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        variables = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in variables}.items()


class SecretlessReporter(ExceptionReporter):
    """Hides by value what is left: a secret in a message, in a path, or in an object's text."""

    def get_traceback_html(self) -> SafeString:
        hidden = {variant for text in settings.SECRET_TEXTS for variant in (text, escape(text))}
        # Django has escaped the page; taking secrets out of it leaves it escaped.
        return SafeString(Redactor(hidden).known_only(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(Redactor(settings.SECRET_TEXTS)(super().get_traceback_text()))


# What may leave with an error for Sentry: where it failed and under which request or task; not why, or for whom.

# Not an address, whose path and query have tokens and names; not an exception's sentence, which quotes rows.
KEPT_NAMES = """
    event_id timestamp level platform environment release server_name sdk name version logger logentry message tags
    request_id task task_id board batch transaction transaction_info source request method contexts runtime trace
    trace_id span_id exception values type module mechanism handled exception_id parent_id stacktrace frames filename
    function lineno in_app pre_context context_line post_context
"""
KEPT = frozenset(KEPT_NAMES.split())
MAIL_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def scrubbed_event(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Return the error as it may leave: Sentry's before_send."""
    if record := hint.get("log_record"):  # our structlog's event is a constant, a library's sentence may be anything
        event["logentry"] = {"message": record.msg["event"] if isinstance(record.msg, dict) else record.name}
    if event.get("transaction_info", {}).get("source") == "url":  # no route took it: a path
        del event["transaction"]
    event["tags"] = get_contextvars()
    return dict(scrub(event))


def scrub(value: Any) -> Any:
    """Return of mappings, at any depth, the kept names; of texts no secret and no mail address."""
    if isinstance(value, str):
        return MAIL_ADDRESS.sub(HIDDEN, Redactor(settings.SECRET_TEXTS)(value))
    if isinstance(value, Mapping):
        return {name: scrub(part) for name, part in value.items() if name in KEPT}
    if isinstance(value, list | tuple):
        return [scrub(part) for part in value]
    return value if isinstance(value, int | float) else None
