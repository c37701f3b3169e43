"""A GraphQL document with its variables, the answer as a value or as one of our errors, and the protocol of whoever
sends it.

Also how one root field of an answer is read, and how a mutation takes effect only once although its answer is lost.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from sync.monday import errors
from sync.monday.errors import MondayError


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's budget (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int
    before: int
    after: int
    reset_in_seconds: int


@dataclass(frozen=True)
class Answer:
    """Monday's answer, and what the call used."""

    data: dict[str, Any] | None
    errors: tuple[MondayError, ...] = ()  # those of single fields, each with the alias that it concerns
    replayed: bool = False
    request_id: str | None = None  # by which Monday's support finds the call
    api_version: str | None = None
    complexity: Complexity | None = None
    points_limit: int | None = None  # a whole minute's, as a header says
    seconds: float = 0.0  # how long the call took

    def errors_of(self, alias: str) -> tuple[MondayError, ...]:
        """The errors at or below one alias of the document."""
        return tuple(error for error in self.errors if error.path_alias == alias)

    def failure(self, alias: str, message: str) -> MondayError:
        """Why an alias is missing: its error, else any other one, for an error may name no alias."""
        for error in self.errors_of(alias) or self.errors:
            return error
        return errors.MondayError(errors.UNREADABLE_ANSWER, message, request_id=self.request_id)


class Api(Protocol):
    """Sends a document to Monday: MondayClient, or a wrapper of it that meters the account's quota."""

    @property
    def version(self) -> str:
        """The API version that is asked for."""

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Send one document and return its answer; raises MondayError where it failed as a whole."""


# Fields without which a board can be set up all the same.
_OPTIONAL_FIELDS = frozenset({"items_count", "items_limit", "name", "config"})


# Under which names our documents ask for boards.
_BOARD_LISTS = ("board", "boards", "first", "by_match")


def ask(api: Api, document: Document) -> Answer:
    """Send a query, and once more where Monday answers null for a board without an error: the next answer has it.

    (Seen by others: github.com/airbytehq/airbyte/issues/29429.) A board that isn't there is left out of the list.
    """
    answer = api.execute(*document)
    boards = [(answer.data or {}).get(name) for name in _BOARD_LISTS]
    has_null = any(isinstance(nodes, list) and None in nodes for nodes in boards)
    return api.execute(*document) if has_null and not answer.errors else answer


def query_root(api: Api, document: Document, alias: str) -> Any:
    """One root field of an answer.

    Raises its error or one below it, except for fields that set-up can do without; errors.UNREADABLE_ANSWER where it
    is null without an error.
    """
    return checked_root(ask(api, document), alias)


def checked_root(answer: Answer, alias: str) -> Any:
    """The same of an answer that has more than this root."""
    for error in answer.errors_of(alias):
        # Set-up works without these fields, so their errors are no failure.
        if error.path[-1] not in _OPTIONAL_FIELDS:
            raise error
    return _root_field(answer, alias)


def mutate_root(api: Api, document: Document, alias: str) -> Any:
    """Send one mutation, once more under the same key where no answer came, and return its root field.

    Monday replays what the first request did (developer.monday.com/api-reference/docs/idempotency), so a lost
    answer creates nothing twice. Raises MondayError.
    """
    return _root_field(execute_mutation(api, document), alias)


def execute_mutation(api: Api, document: Document) -> Answer:
    """Send a mutation under a key of its own, and again under that key where its outcome is unknown."""
    # One key for both attempts, so that Monday replays the first one's result.
    key = uuid.uuid4().hex
    try:
        return api.execute(*document, idempotency_key=key)
    except MondayError as error:
        # What certainly failed is not sent again.
        if not error.outcome_unknown:
            raise
    return api.execute(*document, idempotency_key=key)


def _root_field(answer: Answer, alias: str) -> Any:
    node = (answer.data or {}).get(alias)
    if node is None:
        raise answer.failure(alias, f"Monday answered nothing for {alias}")
    return node


class Document(NamedTuple):
    """A document and its variables: `client.execute(*document)`."""

    text: str
    variables: Mapping[str, Any]


# What the call cost, in points; a root field of queries and of mutations.
COMPLEXITY = "complexity { query before after reset_in_x_seconds }"


# Scalars of answers and of webhooks, which may be null or of another type.


def time_or_none(text: Any) -> datetime | None:
    """The moment in an ISO text; one without an offset is UTC."""
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    return plausible_time(moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC))


def plausible_time(moment: datetime | None) -> datetime | None:
    """The moment, None outside 2000 to 2099: no change has such a time, and to reckon with one may overflow."""
    return moment if moment is not None and 2000 <= moment.year <= 2099 else None


def mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """The JSON object, empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def json_object(value: Any) -> Mapping[str, Any]:
    """A scalar JSON, which may arrive as an object or as its text; empty for anything else."""
    try:
        return mapping_or_empty(json.loads(value) if isinstance(value, str) else value)
    except ValueError:
        return {}


def int_or_none(value: Any) -> int | None:
    """The whole number, which a bool is in Python, but not here."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
