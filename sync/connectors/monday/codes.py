"""The one edge where Monday's errors become ours; code_table.py says what each code stands for."""

from __future__ import annotations

import http.client
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.code_table import PUBLISHED, STATUSES, STATUSES_INSIDE
from sync.connectors.monday.errors import (
    AddressForbidden,
    BoardGone,
    ColumnGone,
    ColumnUnsupported,
    DocumentRefused,
    FieldLimitReached,
    GroupGone,
    ItemInactive,
    ItemNotFound,
    LimitReached,
    MinuteLimitReached,
    MondayError,
    NameRefused,
    NotAuthenticated,
    PermissionMissing,
    RecordRefused,
    ServerFailed,
    WrongAddress,
)

CODES: dict[str, type[MondayError]] = {known.code: known.error for known in PUBLISHED}
LONGEST_WAIT = 7 * 86_400.0
"""Seconds; Monday's longest window is a day (developer.monday.com/api-reference/docs/rate-limits)."""
# Roots that tell of the account and not of a board: who may not read them lacks a scope.
_ACCOUNT_ROOTS = frozenset({"me", "account", "users", "platform_api"})


@dataclass(frozen=True)
class _Facts:
    code: str
    message: str
    data: Mapping[str, Any]
    extensions: Mapping[str, Any]
    path: tuple[str | int, ...] = ()
    status: int | None = None


def is_known(code: str) -> bool:
    """Whether an error code of Monday's has a class here; the caller logs those that have none."""
    return code in CODES


def error_from(
    error: Any,
    *,
    http_status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> MondayError:
    """Translate one error of an answer: an entry of `errors`, or a whole body of the format before 2025-01.

    `retry_after` is the Retry-After header in seconds; the body's own wait goes before it.
    """
    facts = _facts(error)
    refused = _class_of(facts, http_status)
    return refused(
        facts.message or _without_reason(http_status),
        code=facts.code,
        request_id=request_id,
        http_status=http_status,
        wait_seconds=_wait(facts.extensions, retry_after) if refused.retryable else None,
        path=facts.path,
        column_id="name" if refused is NameRefused else _text(facts.data.get("column_id")),
        column_type=_text(facts.data.get("column_type")),
    )


def _without_reason(http_status: int | None) -> str:
    if http_status is None:
        return "Monday gave no reason"
    phrase = http.client.responses.get(http_status)
    return f"Monday answered HTTP {http_status}" + (f" ({phrase})" if phrase else "") + " without a reason"


def _facts(error: Any) -> _Facts:
    if not isinstance(error, Mapping):
        return _Facts("", str(error or ""), {}, {})
    extensions = _mapping(error.get("extensions"))
    details = _text(extensions.get("details"))
    # The pointer to the API's documentation helps no one who only edits a record.
    message = str(error.get("message") or error.get("error_message") or "").split(
        " Please check our API doc"
    )[0]
    path, status = error.get("path"), extensions.get("status_code", error.get("status_code"))
    return _Facts(
        code=str(extensions.get("code") or error.get("error_code") or ""),
        message=f"{message}: {details}" if details else message,
        data=_mapping(extensions.get("error_data") or error.get("error_data")),
        extensions=extensions,
        path=tuple(path) if isinstance(path, list) else (),
        status=status if isinstance(status, int) else None,
    )


def _class_of(facts: _Facts, http_status: int | None) -> type[MondayError]:
    """By the code; where we know none, by the message, the HTTP status and what an answer inside a 200 says."""
    known = CODES.get(facts.code)
    narrow = _NARROWED.get(facts.code)
    if known is not None:
        return (narrow(facts) if narrow else None) or known
    return (
        _class_of_message(facts.message)
        or _class_of_status(http_status)
        or _class_inside(facts)
        or RecordRefused
    )


def _class_of_status(http_status: int | None) -> type[MondayError] | None:
    if http_status is None or 200 <= http_status < 300:
        return None
    if http_status >= 500:
        return ServerFailed
    if 300 <= http_status < 400:
        return WrongAddress
    return STATUSES.get(http_status, DocumentRefused)


def _class_inside(facts: _Facts) -> type[MondayError] | None:
    """Of an error that came with HTTP 200. Codes of limits are spelled in several ways, their wait is not."""
    limited = facts.status == 429 or "retry_in_seconds" in facts.extensions
    if limited and not facts.path:
        return LimitReached
    if limited:
        return FieldLimitReached
    if facts.status is not None and facts.status >= 500:
        return ServerFailed
    return STATUSES_INSIDE.get(facts.status or 0)


def _class_of_message(message: str) -> type[MondayError] | None:
    """Errors without a code: a syntax error (community 82381), the old 401 (82701), an IP that isn't let in."""
    if message.startswith("Parse error"):
        return DocumentRefused
    if "ip is restricted" in message.lower():
        return AddressForbidden  # developer.monday.com/api-reference/docs/error-handling, HTTP 401
    return NotAuthenticated if message.lower() == "not authenticated" else None


def _unauthorized(facts: _Facts) -> type[MondayError] | None:
    """What the token's user may not do is the board's affair, but where the account was asked for."""
    return PermissionMissing if facts.path and facts.path[0] in _ACCOUNT_ROOTS else None


def _job_limit(facts: _Facts) -> type[MondayError] | None:
    """The hour's limit of bulk jobs says `retryAfterMs`; without it the code reads as any rate limit."""
    return None if "retryAfterMs" in facts.extensions else MinuteLimitReached


# In this order: an item is "not found in board".
_RESOURCES: tuple[tuple[str, type[MondayError]], ...] = (
    ("column", ColumnGone),
    ("group", GroupGone),
    ("item", ItemNotFound),
    ("board", BoardGone),
)


def _resource_not_found(facts: _Facts) -> type[MondayError] | None:
    """One code for several resources (community 78294, 92703): `resource_type` or the message tells which."""
    words = f"{facts.data.get('resource_type') or ''} {facts.message}".lower()
    if "not found" not in words:
        return None
    for word, refused in _RESOURCES:
        if re.search(rf"\b{word}\b", words):
            return refused
    return None


def _column_value(facts: _Facts) -> type[MondayError] | None:
    """Also removed items (community 117322) and unwritable types (56466) come with this code."""
    if "inactive_pulse_ids" in facts.data or "inactive items" in facts.message:
        return ItemInactive
    return ColumnUnsupported if "not supported" in facts.message else None


_NARROWED: dict[str, Callable[[_Facts], type[MondayError] | None]] = {
    "UserUnauthorizedException": _unauthorized,
    "USER_UNAUTHORIZED": _unauthorized,
    "RATE_LIMIT_EXCEEDED": _job_limit,
    "ResourceNotFoundException": _resource_not_found,
    "InvalidArgumentException": _resource_not_found,
    "ColumnValueException": _column_value,
}


def _wait(extensions: Mapping[str, Any], retry_after: float | None) -> float | None:
    """The wait that the body asks for, else the header's; none that no clock could add."""
    seconds = extensions.get("retry_in_seconds")
    milliseconds = extensions.get("retryAfterMs")
    told = retry_after
    if isinstance(seconds, int | float):
        told = float(seconds)
    elif isinstance(milliseconds, int | float):
        told = milliseconds / 1000
    return min(max(told, 0.0), LONGEST_WAIT) if told is not None and not math.isnan(told) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
