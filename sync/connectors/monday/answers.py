"""What Monday answered to one document, as a value."""

from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.errors import MondayError


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's budget (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int
    before: int
    after: int
    reset_in_seconds: int


@dataclass(frozen=True)
class Answer:
    """What Monday answered; `errors` are those of single fields, each with the alias that it concerns."""

    data: dict[str, Any] | None
    errors: tuple[MondayError, ...] = ()
    request_id: str | None = None
    api_version: str | None = None
    complexity: Complexity | None = None
    replayed: bool = False

    def errors_of(self, alias: str) -> tuple[MondayError, ...]:
        """The errors at or below one alias of the document."""
        return tuple(error for error in self.errors if error.path_alias == alias)
