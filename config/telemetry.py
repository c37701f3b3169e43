"""What leaves this installation: errors to Sentry, traces to OpenTelemetry, each imported where its address is set.

Both set themselves up, and what they would send passes one scrubber, which keeps what stands here by name and no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from celery.signals import beat_init, celeryd_init, worker_process_init, worker_process_shutdown
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from structlog.contextvars import get_contextvars

from sync.kernel.secret_texts import HIDDEN, Redactor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

ERROR_FIELDS = """
    event_id timestamp level platform environment release server_name sdk name version logger logentry message tags
    request_id task task_id board batch transaction transaction_info source request method contexts runtime trace
    trace_id span_id exception values type module mechanism handled exception_id parent_id stacktrace frames filename
    function lineno in_app pre_context context_line post_context
"""
SPAN_ATTRIBUTES = """
    http.method http.request.method http.route http.scheme url.scheme http.status_code http.response.status_code
    net.peer.name server.address net.peer.port server.port db.system db.system.name db.name db.namespace db.operation
    db.operation.name db.statement db.query.text celery.action celery.state celery.task_name celery.retries
    messaging.message.id messaging.destination messaging.destination.name error.type exception.type
"""
OF_AN_ERROR, OF_A_SPAN = frozenset(ERROR_FIELDS.split()), frozenset(SPAN_ATTRIBUTES.split())
"""Not an address, whose path and query have tokens and names; not an exception's sentence, which quotes rows."""
SQL_TEXT = re.compile(r"'[^']*'?")
MAIL_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NOT_INSTALLED = "OTEL_EXPORTER_OTLP_ENDPOINT wants OpenTelemetry: pip install -r requirements/telemetry.txt"
redactor = cache(lambda: Redactor(settings.SECRET_TEXTS))


def scrub(value: Any, kept: Collection[str]) -> Any:
    """Return what may leave of a value: of mappings, at any depth, the kept names; of texts no secret or address."""
    if isinstance(value, str):
        return MAIL_ADDRESS.sub(HIDDEN, redactor()(value))
    if isinstance(value, Mapping):
        return {name: scrub(one, kept) for name, one in value.items() if name in kept}
    if isinstance(value, list | tuple):
        return [scrub(one, kept) for one in value]
    return value if isinstance(value, int | float) else None


def report_errors(process: str) -> None:
    """Report uncaught and logged errors. Also for a parent that forks: its pool inherits it."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=settings.SENTRY_RELEASE or None,
        server_name=process,
        before_send=scrubbed_event,  # type: ignore[arg-type]
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        send_client_reports=False,
        trace_propagation_targets=[],  # else every call to Monday would bear its headers
    )


def scrubbed_event(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Return the error as it may leave: where it failed and under which request or task, not why or for whom."""
    if record := hint.get("log_record"):  # our structlog's event is a constant, a library's sentence may be anything
        event["logentry"] = {"message": record.msg["event"] if isinstance(record.msg, dict) else record.name}
    if event.get("transaction_info", {}).get("source") == "url":  # no route took it: a path
        del event["transaction"]
    event["tags"] = get_contextvars()
    return dict(scrub(event, OF_AN_ERROR))


def trace(process: str) -> None:
    """Trace what is instrumented; raises ImproperlyConfigured. Not in a pool's parent: the exporter is a thread."""
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", f"npd-{process}")
    os.environ.setdefault("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "healthz,readyz,metrics")  # polled by machines
    os.environ |= {"OTEL_PYTHON_CONFIGURATOR": "none"}  # a distribution's would export logs and metrics, not scrubbed
    try:
        from opentelemetry import trace as api
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.auto_instrumentation import initialize
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    except ImportError as error:
        raise ImproperlyConfigured(NOT_INSTALLED) from error

    class ScrubbingExporter(OTLPSpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return super().export([scrubbed_span(span) for span in spans])

    provider = TracerProvider()
    api.set_tracer_provider(provider)
    if api.get_tracer_provider() is not provider:
        raise ImproperlyConfigured(
            "OpenTelemetry is set up already, unscrubbed: start without opentelemetry-instrument"
        )
    provider.add_span_processor(BatchSpanProcessor(ScrubbingExporter()))
    initialize(swallow_exceptions=False)
    worker_process_shutdown.connect(lambda **kwargs: provider.shutdown(), weak=False)


def scrubbed_span(span: ReadableSpan) -> ReadableSpan:
    """Return the span as it may leave."""
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Status

    def attributes(found: Mapping[str, Any] | None) -> dict[str, Any]:
        kept = scrub(found or {}, OF_A_SPAN)
        return {name: SQL_TEXT.sub("?", value) if name.startswith("db.") else value for name, value in kept.items()}

    return ReadableSpan(
        name=scrub(span.name, ()),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes(span.attributes),
        events=[Event(event.name, attributes(event.attributes), event.timestamp) for event in span.events],
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def start_telemetry(process: str) -> None:
    """Start both where they are configured; for a process that doesn't fork. Raises ImproperlyConfigured."""
    report_errors(process)
    trace(process)


celeryd_init.connect(lambda **kwargs: report_errors("worker"), weak=False)
worker_process_init.connect(lambda **kwargs: trace("worker"), weak=False)
beat_init.connect(lambda **kwargs: start_telemetry("beat"), weak=False)
