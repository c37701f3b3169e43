"""GraphQL documents with their variables, their answers, and the protocol of the clients that send them.

Also reads root fields and scalars of answers, and repeats a mutation that got no answer, under its key.
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

# The points of the call; a root field of queries and of mutations.
COMPLEXITY = "complexity { query after reset_in_x_seconds }"


class Document(NamedTuple):
    """A document and its variables: `client.execute(*document)`."""

    text: str
    variables: Mapping[str, Any]


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's quota (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int  # the call's
    after: int  # what is left of the minute's
    reset_in_seconds: int


@dataclass(frozen=True)
class Answer:
    """Monday's answer, and what the call used."""

    data: dict[str, Any]
    errors: tuple[MondayError, ...] = ()  # of single fields, each with its alias
    replayed: bool = False  # Monday repeated the answer to an earlier sending under the same key
    request_id: str | None = None  # by which Monday's support finds the call
    api_version: str | None = None
    complexity: Complexity | None = None
    points_limit: int | None = None  # a whole minute's, as a header says
    dated: datetime | None = None  # when it was answered, by Monday's clock
    seconds: float = 0.0  # how long the call took

    def errors_of(self, alias: str) -> tuple[MondayError, ...]:
        """Return the errors at or below one alias of the document."""
        return tuple(error for error in self.errors if error.path_alias == alias)

    def failure(self, alias: str, message: str) -> MondayError:
        """Return the error that explains a missing alias: its own, else any, because an error may name no alias."""
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


# Set-up works without these fields.
_OPTIONAL_FIELDS = frozenset({"items_count", "items_limit", "name"})

# The aliases of our documents under which an answer has a list of boards.
_BOARD_LISTS = ("board", "boards", "page", "by_match")


def send_query(api: Api, document: Document, *aliases: str) -> Answer:
    """Send a query, and again if Monday answers null for a board without an error; the second answer has the board.

    Reported in github.com/airbytehq/airbyte/issues/29429. A board that doesn't exist is left out of the list.

    Raises MondayError where the answer lacks one of these aliases, or has an error that names no part of it: what was
    not answered must not look as if there were nothing.
    """
    answer = api.execute(*document)
    boards = [answer.data.get(name) for name in _BOARD_LISTS]
    has_null = any(isinstance(nodes, list) and None in nodes for nodes in boards)
    if has_null and not answer.errors:
        answer = api.execute(*document)
    for alias in aliases:
        if alias not in answer.data or any(not error.path for error in answer.errors):
            raise answer.failure(alias, f"Monday answered nothing for {alias}")
    return answer


def query_root(api: Api, document: Document, alias: str) -> Any:
    """Send a query and return one root field of its answer.

    Raises its error or one below it, except for optional fields; UNREADABLE_ANSWER where it is null without an error.
    """
    answer = send_query(api, document, alias)
    for error in answer.errors_of(alias):
        if error.path[-1] not in _OPTIONAL_FIELDS:
            raise error
    return _root_field(answer, alias)


def mutate_root(api: Api, document: Document, alias: str) -> Any:
    """Send a mutation as `send_mutation` does, and return its root field; raises MondayError."""
    return _root_field(send_mutation(api, document), alias)


def send_mutation(api: Api, document: Document) -> Answer:
    """Send a mutation, and again under the same key if its outcome is unknown.

    Monday repeats the first answer under a key (developer.monday.com/api-reference/docs/idempotency), so nothing is
    created twice.
    """
    key = uuid.uuid4().hex
    try:
        return api.execute(*document, idempotency_key=key)
    except MondayError as error:
        if not error.outcome_unknown:
            raise
    return api.execute(*document, idempotency_key=key)


def _root_field(answer: Answer, alias: str) -> Any:
    node = answer.data.get(alias)
    if node is None:
        raise answer.failure(alias, f"Monday answered nothing for {alias}")
    return node


def time_or_none(text: Any) -> datetime | None:
    """Parse an ISO text, in UTC unless it has an offset; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return plausible_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def plausible_time(moment: datetime | None) -> datetime | None:
    """Return the moment; None outside 2000 to 2099, because no change is from then and arithmetic may overflow."""
    return moment if moment is not None and 2000 <= moment.year <= 2099 else None


def mapping_or_empty(value: Any) -> Mapping[str, Any]:
    """Return a JSON object, empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def json_object(value: Any) -> Mapping[str, Any]:
    """Return the object in a value of the scalar JSON, which may be its text; empty for anything else."""
    try:
        return mapping_or_empty(json.loads(value) if isinstance(value, str) else value)
    except ValueError:
        return {}


def int_or_none(value: Any) -> int | None:
    """Return a whole number, None for anything else; here a bool is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
