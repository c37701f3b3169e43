"""A GraphQL document with its variables, the answer as a value, and the protocol of whoever sends it.

Also how one root field of an answer is read, and how a mutation takes effect only once although its answer is
lost.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from sync.connectors.base.connector import CallReport
from sync.connectors.base.errors import ConnectorError, UnreadableAnswer


@dataclass(frozen=True)
class Answer(CallReport):
    """Monday's answer; `errors` are those of single fields, each with the alias that it concerns."""

    data: dict[str, Any] | None
    errors: tuple[ConnectorError, ...] = ()
    replayed: bool = False

    def errors_of(self, alias: str) -> tuple[ConnectorError, ...]:
        """The errors at or below one alias of the document."""
        return tuple(error for error in self.errors if error.path_alias == alias)

    def failure(self, alias: str, message: str) -> ConnectorError:
        """Why an alias is missing: its error, else any other one, for an error may name no alias."""
        errors = self.errors_of(alias) or self.errors
        return errors[0] if errors else UnreadableAnswer(message, request_id=self.request_id)


class Api(Protocol):
    """Sends a document to Monday: MondayClient, or a wrapper of it that meters the account's quota."""

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Send one document and return its answer; raises ConnectorError where it failed as a whole."""


_OPTIONAL_FIELDS = frozenset({"items_count", "items_limit", "name", "config"})
"""Fields without which a board can be set up all the same."""


def query_root(api: Api, document: Document, alias: str) -> Any:
    """One root field of an answer.

    Raises its error or one below it, except for fields that set-up can do without; UnreadableAnswer where it
    is null without an error.
    """
    answer = api.execute(*document)
    for error in answer.errors_of(alias):
        # Set-up works without these fields, so their errors are no failure.
        if error.path[-1] not in _OPTIONAL_FIELDS:
            raise error
    return _root_field(answer, alias)


def mutate_root(api: Api, document: Document, alias: str) -> Any:
    """Send one mutation, once more under the same key where no answer came, and return its root field.

    Monday replays what the first request did (developer.monday.com/api-reference/docs/idempotency), so a lost
    answer creates nothing twice. Raises ConnectorError.
    """
    return _root_field(execute_mutation(api, document), alias)


def execute_mutation(api: Api, document: Document) -> Answer:
    """Send a mutation under a key of its own, and again under that key where its outcome is unknown."""
    # One key for both attempts, so that Monday replays the first one's result.
    key = uuid.uuid4().hex
    try:
        return api.execute(*document, idempotency_key=key)
    except ConnectorError as error:
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


def probe_query() -> Document:
    """The cheapest call that shows whether token, account and API are well."""
    return Document(f"query Probe {{ me {{ id }} {COMPLEXITY} }}", {})


COMPLEXITY = "complexity { query before after reset_in_x_seconds }"
"""What the call cost, in points; a root field of queries and of mutations."""


# Scalars of answers and of webhooks, which may be null or of another type.


def time_or_none(text: Any) -> datetime | None:
    """The moment in an ISO text; one without an offset is UTC."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


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
