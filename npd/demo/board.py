"""The sandbox's doors that Monday doesn't have: items that were always there, and edits by a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

from sync.connectors.monday.converters import converter
from sync.engine.values import raw_of
from sync.models import BoardLink, FieldMapping, SyncedModel

SECONDS = 60.0
ITEMS_A_CALL = 500


class NoSandboxError(RuntimeError):
    """MONDAY_API_URL is not the sandbox's, or the sandbox doesn't answer; the message says what to do."""


class Sandbox:
    """The simulator behind MONDAY_API_URL. Every method raises NoSandboxError when it can't be reached."""

    def __init__(self) -> None:
        parts = urlsplit(settings.MONDAY_API_URL)
        if parts.hostname == "api.monday.com":
            raise NoSandboxError(
                "The demo fills a sandbox with made-up people, never a real Monday account. "
                "Start `make run`, or `python -m sandbox`, and set MONDAY_API_URL to http://127.0.0.1:8001/v2."
            )
        self.address = f"{parts.scheme}://{parts.netloc}"

    def item_count(self, board_id: str) -> int:
        """How many active items a board holds."""
        boards = self._ask("GET", "/_control/boards")
        return sum(len(board["items"]) for board in boards if str(board["id"]) == board_id)

    def load(self, board_id: str, items: Sequence[dict[str, Any]]) -> None:
        """Put items on a board as if they had always been there: no webhooks, no entries in its log."""
        for start in range(0, len(items), ITEMS_A_CALL):
            body = {"board_id": board_id, "items": items[start : start + ITEMS_A_CALL]}
            self._ask("POST", "/_control/items", body)

    def edit(self, item_id: str, column_id: str, text: str) -> None:
        """Type a text into a cell, as the first of the sandbox's people does on its page."""
        self._ask(
            "POST",
            "/_control/actions",
            {
                "action": "edit",
                "item_id": item_id,
                "column_id": column_id,
                "text": text,
            },
        )

    def refuse_changes(self, times: int, message: str) -> None:
        """Have the next changes of a single record refused, with this message."""
        error = {"message": message, "path": ["r0"], "extensions": {"code": "RecordInvalidException"}}
        body = {"data": {"r0": None}, "errors": [error]}
        fault = {"status": 200, "on": "change_multiple_column_values", "count": times, "body": body}
        self._ask("POST", "/_control/faults", fault)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            answer = requests.request(method, self.address + path, json=body, timeout=SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise NoSandboxError(
                f"The sandbox at {self.address} did not do {path}: {error}. Start it with `make run` or "
                "`python -m sandbox`, and check MONDAY_API_URL."
            ) from error
        return answer.json()


def items_of(link: BoardLink, records: Iterable[SyncedModel]) -> list[dict[str, Any]]:
    """The items that stand for these records on the board, their NPD ID filled in."""
    mappings = list(link.mappings.all())
    return [_item(link, mappings, record) for record in records]


def _item(link: BoardLink, mappings: Sequence[FieldMapping], record: SyncedModel) -> dict[str, Any]:
    values: dict[str, Any] = {link.npd_id_column: str(record.pk)}
    for mapping in mappings:
        value = converter(mapping.converter).write(raw_of(record, mapping), None)
        if value is not None:
            values[mapping.column_id] = value
    return {"name": values.pop("name"), "values": values}
