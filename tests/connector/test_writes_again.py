"""A write that is sent again, under its key, is the same write."""

import json
from dataclasses import replace
from typing import Any

from sync.monday.board_items import ItemWrite
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Answer
from sync.monday.items import prepare_creates
from tests.connector.bodies import item


class Sender:
    """Remembers what it is to send, and answers one item under the first alias."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, str | None]] = []

    def execute(self, document: str, variables: Any, *, idempotency_key: str | None = None) -> Answer:
        self.sent.append((document, variables, idempotency_key))
        return Answer({"r0": item("11")}, request_id="req-1", replayed=len(self.sent) > 1)


def test_a_write_that_was_stored_as_json_is_sent_again_as_it_was() -> None:
    sender = Sender()
    request = prepare_creates("1", None, [ItemWrite("r0", {"name": "Ann", "email": {"email": "ann@example.com"}})], [])
    first = MondayConnector(sender).write(request, "key")
    again = MondayConnector(sender).write(replace(request, body=json.loads(json.dumps(request.body))), "key")
    assert sender.sent[0] == sender.sent[1]
    assert (first.replayed, again.replayed, again.request_id) == (False, True, "req-1")
