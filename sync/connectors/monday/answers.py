"""What Monday answered to one document, as a value, and what everything that asks Monday needs of a client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sync.connectors.monday.errors import MondayError


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's budget (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int
    before: int
    after: int
    reset_in_seconds: int


@dataclass(frozen=True)
class Limits:
    """What the headers RateLimit-Policy and RateLimit say; None for what they don't name.

    `*_limit` is a window's whole allowance, `*_left` what remains of it, `*_reset` in how many seconds the window
    ends (developer.monday.com/api-reference/docs/rate-limits).
    """

    minute_limit: int | None = None
    minute_left: int | None = None
    minute_reset: int | None = None
    concurrency_limit: int | None = None
    concurrency_left: int | None = None
    points_limit: int | None = None
    points_left: int | None = None
    points_reset: int | None = None


@dataclass(frozen=True)
class Answer:
    """What Monday answered; `errors` are those of single fields, each with the alias that it concerns.

    `seconds` is how long the call took.
    """

    data: dict[str, Any] | None
    errors: tuple[MondayError, ...] = ()
    request_id: str | None = None
    api_version: str | None = None
    complexity: Complexity | None = None
    replayed: bool = False
    limits: Limits | None = None
    seconds: float = 0.0

    def errors_of(self, alias: str) -> tuple[MondayError, ...]:
        """The errors at or below one alias of the document."""
        return tuple(error for error in self.errors if error.path_alias == alias)


class Api(Protocol):
    """Whatever sends a document to Monday: MondayClient, or one around it that keeps the account's budget."""

    def execute(
        self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Send one document and return its answer; raises MondayError where it failed as a whole."""
