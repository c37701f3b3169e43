"""What the headers of Monday's answers say: the request's id, how long to wait, and what is left of the limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sync.connectors.monday.answers import Limits

# Monday's own answers tell the id in the body; what its edge answers (HTML, nothing) can only tell it here.
_REQUEST_IDS = ("X-Request-Id", "Request-Id")
_POLICY = re.compile(r'\s*"?(?P<name>[^",;]+)"?\s*(?P<parameters>(?:;[^,;]*)*)')
_PARAMETER = re.compile(r';\s*(?P<key>[a-z]+)\s*=\s*"?(?P<value>[^";,]*)"?')
# Names of the policies (developer.monday.com/api-reference/docs/rate-limits).
_PREFIXES = {"minuteRate": "minute", "concurrency": "concurrency", "complexityMinute": "points"}
_FIELDS = {"r": "left", "t": "reset"}


def request_id(headers: Mapping[str, str]) -> str | None:
    """The id that a header gives to the request, if one does."""
    return next((headers[name] for name in _REQUEST_IDS if headers.get(name)), None)


def retry_after(headers: Mapping[str, str], status: int) -> float | None:
    """Seconds to wait: of Retry-After, a number or a date (RFC 9110 section 10.2.3), else of the spent limits."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return _until_reset(headers) if status == 429 else None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return float(text)
    until, now = _moment(text), _moment(headers.get("Date", ""))
    # The server's own clock is the one that wrote the date; ours may differ from it.
    return max(0.0, (until - (now or datetime.now(UTC))).total_seconds()) if until else None


def limits(headers: Mapping[str, str]) -> Limits | None:
    """The limits that RateLimit-Policy and RateLimit tell, None where neither says anything that we know."""
    found: dict[str, int] = {}
    for prefix, parameters in _policies(headers.get("RateLimit-Policy", "")):
        if (quota := parameters.get("q")) is not None:
            found[f"{prefix}_limit"] = quota
    for prefix, parameters in _policies(headers.get("RateLimit", "")):
        found |= {f"{prefix}_{_FIELDS[key]}": value for key, value in parameters.items() if key in _FIELDS}
    known = {name: value for name, value in found.items() if name in Limits.__dataclass_fields__}
    return Limits(**known) if known else None


def _until_reset(headers: Mapping[str, str]) -> float | None:
    """How long until the limits that are spent begin anew."""
    spent = [p["t"] for _, p in _policies(headers.get("RateLimit", "")) if p.get("r") == 0 and "t" in p]
    return float(max(spent)) if spent else None


def _policies(header: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Each policy of a header that we know, with those of its parameters that are whole numbers."""
    for part in header.split(","):
        found = _POLICY.match(part)
        prefix = _PREFIXES.get(found["name"].strip()) if found else None
        if found and prefix:
            told = {one["key"]: one["value"].strip() for one in _PARAMETER.finditer(found["parameters"])}
            yield prefix, {key: int(value) for key, value in told.items() if value.isdecimal()}


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
