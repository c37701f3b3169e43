"""Bodies as Monday answers since 2025-07, for tests of the code that translates them."""

from typing import Any

from sync.monday.errors import MondayError
from sync.monday.graphql import Answer

COLUMN_IDS = ["npd_id", "email_1", "phone_1"]


def failed(message: str, code: str, path: list[str | int] | None = None, **extensions: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": message, "extensions": {"code": code, **extensions}}
    return entry | {"path": path} if path else entry


def column(column_id: str, column_type: str, value: str | None, text: str = "", **extra: Any) -> dict[str, Any]:
    """One entry of `column_values`; `value` is JSON as text, as Monday sends it."""
    return {"id": column_id, "type": column_type, "text": text, "value": value, **extra}


def item(item_id: str = "11", *, columns: list[dict[str, Any]] | None = None, **fields: Any) -> dict[str, Any]:
    """An item as `...ItemFields` asks for it."""
    return {
        "id": item_id,
        "name": "Ada Lovelace",
        "state": "active",
        "updated_at": "2026-11-20T08:00:00Z",
        "board": {"id": "7"},
        "column_values": columns if columns is not None else [column("npd_id", "text", '"n-1"', "n-1")],
    } | fields


class Replying:
    """A transport that gives these answers in turn and keeps each call: document, variables, key."""

    def __init__(self, *answers: Answer | MondayError, version: str = "2026-10") -> None:
        self.answers, self.version = list(answers), version
        self.calls: list[tuple[str, Any, str | None]] = []

    def execute(self, document: str, variables: Any, *, idempotency_key: str | None = None) -> Answer:
        self.calls.append((document, variables, idempotency_key))
        reply = self.answers.pop(0)
        if isinstance(reply, MondayError):
            raise reply
        return reply
