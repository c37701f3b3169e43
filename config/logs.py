"""Log lines, error pages and error reports, all without secrets.

One formatter writes every log line, including libraries' lines and tracebacks, and removes secrets from the finished
text: those in the settings by value, others by shape.
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

# Words in the reason of a failed CSRF check, which is the first argument of Django's log line.
_CSRF_CODES = {
    "origin checking": "csrf_origin",
    "referer checking": "csrf_referer",
    "csrf cookie": "csrf_cookie",
    "csrf token": "csrf_token",
}


class SecretlessFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, which also removes secrets from the finished line."""

    def __init__(self, *args: Any, redact: Redactor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Write a line; one about a refused request (4xx) has the route instead of the address and a traceback.

        Django's own would have the address, which may contain a secret.
        """
        status = getattr(record, "status_code", 0)
        request = getattr(record, "request", None)
        is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if not is_refusal or not isinstance(request, HttpRequest):
            return self.redact(super().format(record))
        reason = str(record.args[0]).lower() if isinstance(record.args, tuple) and record.args else ""
        code = next((code for words, code in _CSRF_CODES.items() if words in reason), "")
        if not code and record.name.startswith("django.security."):
            code = record.name.removeprefix("django.security.")
        route = request.resolver_match.route if request.resolver_match else "-"
        refusal = copy(record)  # other handlers get the record itself
        refusal.msg = f"refused {request.method} {route}: {status} {code or HTTPStatus(status).name.lower()}"
        refusal.args = ()
        refusal.exc_info = refusal.exc_text = refusal.stack_info = None
        return self.redact(super().format(refusal))


def shared_processors() -> list[Any]:
    """Return the processors of every event, from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


# One list for the process, because a logger keeps its first list even if the settings are read again.
EVENT_PROCESSORS = [
    structlog.stdlib.filter_by_level,
    *shared_processors(),
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
]


def logging_config(level: str, json_lines: bool, secrets: Collection[str]) -> dict[str, Any]:
    """Configure structlog, and return Django's LOGGING: one line an event on standard error, as JSON or text."""
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
                # Made here, because dictConfig would copy the list, without the secrets that are decrypted later.
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
            # On DEBUG, and in warnings about headers, it logs paths, and a chat's path is a secret.
            "urllib3": {"handlers": [], "level": "ERROR", "propagate": True},
            # It logs the addresses of chats, which are secrets. Its results say why a message failed.
            "apprise": {"handlers": ["nowhere"], "level": "WARNING", "propagate": False},
        },
    }


HEADER = "X-Request-ID"

# Without dots, so that no JWT matches; short, because every line has it.
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


class RequestIdMiddleware:
    """Adds the request's id, a proxy's or a new one, to every log line of the request and to the answer."""

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
    # Not earlier, because Django logs a rejected request only after all middleware.
    clear_contextvars()


@task_prerun.connect
def begin_task(task_id: str, task: object, **kwargs: object) -> None:
    """Add the task's name and id to its log lines."""
    clear_contextvars()
    bind_contextvars(task=getattr(task, "name", ""), task_id=task_id)


@task_postrun.connect
def end_task(**kwargs: object) -> None:
    clear_contextvars()


DJANGO_HIDDEN_NAMES = SafeExceptionReporterFilter.hidden_settings.pattern
OWN_HIDDEN_NAMES = "DATABASE|BROKER|REDIS|MONDAY|WEBHOOK|CRON|CONNINFO|DSN"


class SecretlessFilter(SafeExceptionReporterFilter):
    """Hides settings, headers and variables in Django's error pages by their names, at any depth."""

    hidden_settings = re.compile(f"{DJANGO_HIDDEN_NAMES}|{OWN_HIDDEN_NAMES}", re.IGNORECASE)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: Any) -> ItemsView[str, Any]:
        variables = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in variables}.items()


class SecretlessReporter(ExceptionReporter):
    """Hides secrets in the texts of Django's error pages, such as a message, a path or an object's text."""

    def get_traceback_html(self) -> SafeString:
        hidden = {variant for text in settings.SECRET_TEXTS for variant in (text, escape(text))}
        # The page is escaped already, and stays escaped without the secrets.
        return SafeString(Redactor(hidden).known_only(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(Redactor(settings.SECRET_TEXTS)(super().get_traceback_text()))


# What an error sent to Sentry may contain. No address, because paths and queries have tokens and names, and no
# exception's message (its `value`), because it quotes rows; `message` is that of a log line.
KEPT_NAMES = """
    event_id timestamp level platform environment release server_name sdk name version logger logentry message tags
    request_id task task_id board batch transaction transaction_info source request method contexts runtime trace
    trace_id span_id exception values type module mechanism handled exception_id parent_id stacktrace frames filename
    function lineno in_app pre_context context_line post_context
"""
KEPT = frozenset(KEPT_NAMES.split())
MAIL_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


def scrubbed_event(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Return the error as it may be sent: Sentry's before_send."""
    if record := hint.get("log_record"):  # our own events are constants, libraries' messages may contain anything
        event["logentry"] = {"message": record.msg["event"] if isinstance(record.msg, dict) else record.name}
    if event.get("transaction_info", {}).get("source") == "url":  # without a route it is the path
        del event["transaction"]
    event["tags"] = get_contextvars()
    scrubbed: dict[str, Any] = scrub(event)
    return scrubbed


def scrub(value: Any) -> Any:
    """Return a value with the kept names only, at any depth, and without secrets and mail addresses in its texts."""
    if isinstance(value, str):
        return MAIL_ADDRESS.sub(HIDDEN, Redactor(settings.SECRET_TEXTS)(value))
    if isinstance(value, Mapping):
        return {name: scrub(part) for name, part in value.items() if name in KEPT}
    if isinstance(value, list | tuple):
        return [scrub(part) for part in value]
    return value if isinstance(value, int | float) else None
