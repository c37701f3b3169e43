"""What this installation reports of itself, without secrets: logs, failure pages, errors to Sentry, traces.

Every log line, also a library's and a traceback, passes one formatter, which takes the secrets out of the
finished text: by value those that the settings know, by shape the others.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Collection, ItemsView, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import structlog
from celery.signals import (
    beat_init,
    celeryd_init,
    task_postrun,
    task_prerun,
    worker_process_init,
    worker_process_shutdown,
)
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import request_finished
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter
from structlog.contextvars import bind_contextvars, clear_contextvars

from sync.kernel.secret_texts import HIDDEN, Redactor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class SecretlessFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, with the secrets taken out of the finished line."""

    def __init__(self, *args: Any, redact: Redactor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line to write."""
        return self.redact(super().format(record))


def shared_processors() -> list[Any]:
    """Return what happens to every event, whether it came from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


# One list for the process: a logger keeps the list that it was first used with, also where settings are read
# again.
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
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            # On DEBUG it logs each call's path, which of a chat's webhook is a secret.
            "urllib3": {"handlers": [], "level": "INFO", "propagate": True},
            "axes": {"handlers": [], "level": "ERROR", "propagate": True},  # config/logins.py logs it itself
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
        """Answer the request."""
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
        """Return the variables of one line of the traceback."""
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in found}.items()


class SecretlessReporter(ExceptionReporter):
    """Hides by value what is left: a secret in a message, in a path, or in an object's text."""

    def get_traceback_html(self) -> SafeString:
        """Return the page."""
        hidden = {variant for text in settings.SECRET_TEXTS for variant in (text, escape(text))}
        # Django has escaped the page; taking secrets out of it leaves it escaped.
        return SafeString(Redactor(hidden).known_only(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        """Return the plain text."""
        return SafeString(Redactor(settings.SECRET_TEXTS)(super().get_traceback_text()))


# Errors to Sentry, traces to OpenTelemetry: each only where its address is set, and imported only then.
#
# What leaves this installation has no secret and no person in it: values pass the same Redactor as log lines;
# request bodies, headers, queries, callers' addresses and a traceback's variables are left out.


NOT_INSTALLED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
    "pip install -r requirements/telemetry.txt, or leave the variable out"
)

PROBES = "healthz,readyz,metrics"  # polled every few seconds by machines
MAIL_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

# PostgreSQL quotes the rejected row, and psycopg its parameters, on the lines below the message.
DETAIL = re.compile(r"\n?(?:DETAIL|CONTEXT):.*", re.DOTALL)
QUERY = re.compile(r"\?[^\s'\"]*")

CALLER_ATTRIBUTES = (
    "client.",
    "net.peer.ip",
    "network.peer.address",
    "http.client_ip",
    "user_agent",
    "http.user_agent",
    "enduser",
)

QUERIES = ("url.query", "http.request.header", "http.response.header")
ADDRESSES = ("http.url", "http.target", "url.full", "url.path")


def start_telemetry(process: str) -> None:
    """Start both where they are configured; for a process that doesn't fork. Raises ImproperlyConfigured."""
    report_errors(process)
    trace(process)


class EventCleaner:
    """Takes secrets and people out of texts, at any depth."""

    def __init__(self) -> None:
        self.redact = Redactor(settings.SECRET_TEXTS)

    def text(self, text: str) -> str:
        """Return one text without them."""
        return MAIL_ADDRESS.sub(HIDDEN, self.redact(DETAIL.sub("", text)))

    def __call__(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self(one) for one in value]
        return value


# --- Errors ------------------------------------------------------------------------------------------------
def report_errors(process: str) -> None:
    """Report uncaught and logged errors. Also for a parent that forks: its pool inherits it."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.celery import CeleryIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.django import DjangoIntegration
    from sentry_sdk.integrations.excepthook import ExcepthookIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.integrations.threading import ThreadingIntegration

    clean = EventCleaner()
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=settings.SENTRY_RELEASE or None,
        # Listed one by one: nobody has checked what others add to an event (arguments, modules, host).
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            AtexitIntegration(callback=lambda pending, timeout: None),
            CeleryIntegration(propagate_traces=False),
            DedupeIntegration(),
            DjangoIntegration(middleware_spans=False, signals_spans=False),
            ExcepthookIntegration(),
            LoggingIntegration(level=None),
            ThreadingIntegration(propagate_scope=False),
        ],
        before_send=lambda event, hint: without_secrets(event, clean),  # type: ignore[arg-type, return-value]
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        server_name=process,
    )
    sentry_sdk.get_global_scope().set_tag("process", process)


def without_secrets(event: dict[str, Any], clean: EventCleaner) -> dict[str, Any]:
    """Return the event as it may leave: where and why it failed, and not for whom."""
    for name in ("user", "extra", "breadcrumbs"):
        event.pop(name, None)
    if request := event.get("request"):
        event["request"] = {"method": request.get("method"), "url": QUERY.sub("", str(request.get("url", "")))}
    cleaned: dict[str, Any] = clean(event)
    return cleaned


# --- Traces ------------------------------------------------------------------------------------------------
def trace(process: str) -> None:
    """Trace requests, tasks, SQL and calls. In a pool's process and not in its parent: the exporter is a
    thread.
    """
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
        from opentelemetry.instrumentation.django import DjangoInstrumentor
        from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    except ImportError as error:
        raise ImproperlyConfigured(NOT_INSTALLED) from error

    class SecretlessExporter(SpanExporter):
        """Exports what `clean_span` leaves of each span."""

        def __init__(self, inner: SpanExporter) -> None:
            self.inner, self.clean = inner, EventCleaner()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return self.inner.export([clean_span(span, self.clean) for span in spans])

        def shutdown(self) -> None:
            self.inner.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return self.inner.force_flush(timeout_millis)

    provider = TracerProvider(resource=Resource.create({"service.name": f"npd-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(SecretlessExporter(OTLPSpanExporter())))
    DjangoInstrumentor().instrument(tracer_provider=provider, excluded_urls=PROBES)
    others = (CeleryInstrumentor(), PsycopgInstrumentor(), RequestsInstrumentor())  # type: ignore[no-untyped-call]
    for instrumentor in others:
        instrumentor.instrument(tracer_provider=provider)
    worker_process_shutdown.connect(lambda **kwargs: provider.shutdown(), weak=False)


def clean_span(span: ReadableSpan, clean: EventCleaner) -> ReadableSpan:
    """Return the span as it may leave."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Status

    return ReadableSpan(
        name=clean.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_clean_attributes(span.attributes, clean),
        events=[Event(e.name, _clean_attributes(e.attributes, clean), e.timestamp) for e in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, clean(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _clean_attributes(attributes: Mapping[str, Any] | None, clean: EventCleaner) -> dict[str, Any]:
    kept = {
        name: value for name, value in (attributes or {}).items() if not name.startswith((*CALLER_ATTRIBUTES, *QUERIES))
    }
    bare_addresses = {name: QUERY.sub("", str(kept[name])) for name in ADDRESSES if name in kept}
    cleaned: dict[str, Any] = clean(kept | bare_addresses)
    return cleaned


# --- When Celery's processes begin ---------------------------------------------------------------------------
@celeryd_init.connect
def _on_worker_start(**kwargs: object) -> None:
    report_errors("worker")


@worker_process_init.connect
def _on_pool_process_start(**kwargs: object) -> None:
    trace("worker")


@beat_init.connect
def _on_beat_start(**kwargs: object) -> None:
    start_telemetry("beat")
