"""What may leave with an error for Sentry: where it failed and under which request or task; not why, or for whom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from structlog.contextvars import get_contextvars

from sync.kernel.secret_texts import HIDDEN, Redactor

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
