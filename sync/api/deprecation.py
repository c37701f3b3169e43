"""What of the API will go away: marked where it stands, said on every answer and in the OpenAPI document.

The answer of a marked action, and of one that was given a marked parameter, has the headers `Deprecation` (RFC 9745:
since when), `Sunset` (RFC 8594: from when on it may be gone) and `Link` with the page that says what to do instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.utils.http import http_date

CHANGELOG = "/api/changelog/"


@dataclass(frozen=True)
class Deprecation:
    """Since when it is deprecated, from when on it may be gone, and what is there instead, as a sentence."""

    since: date
    sunset: date
    instead: str

    @property
    def sentence(self) -> str:
        """What its description says."""
        return f"Deprecated since {self.since}, may be gone from {self.sunset} on. {self.instead}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer."""
        page = f"{settings.SITE_URL}{CHANGELOG}"
        return {
            "Deprecation": f"@{_seconds(self.since)}",
            "Sunset": http_date(_seconds(self.sunset)),
            "Link": f'<{page}>; rel="deprecation"; type="text/html", <{page}>; rel="sunset"; type="text/html"',
        }


def deprecation_of(view: Any, action: str, given: Any = ()) -> Deprecation | None:
    """What a view's `deprecated` says of this action, or of one of the query's parameters that are given.

    A parameter is marked by the key "action?name".
    """
    marked: dict[str, Deprecation] = getattr(view, "deprecated", {})
    names = (action, *(f"{action}?{name}" for name in given))
    return next((marked[name] for name in names if name in marked), None)


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
