"""merge.md: "An intent without an answer", of a create: sent again under its key, or made anew, never twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from npd.models import Contact
from sync.connectors.base.board_items import Item, WriteResult
from sync.connectors.base.errors import ConnectorError, RecordRejected, ServerFailed
from sync.models import Intent
from sync.reconcile.unconfirmed_writes import is_resendable, resent_creates
from tests.decide.builders import NOW, board, contact, plain


def unsure(record: Contact, alias: str = "r0", **differs: Any) -> Intent:
    """A create of this minute whose answer was lost."""
    values = {"created_at": NOW - timedelta(minutes=1), "body": {"query": "…"}} | differs
    return plain(Intent, entity_id=record.pk, alias=alias, **values)


ANN, BOB = contact(monday_id=None), contact(name="Bob", monday_id=None)

ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], int, bool]] = {
    "within half an hour": ({}, {}, 1, True),
    "after that Monday doesn't know the key any more": ({"created_at": NOW - timedelta(minutes=30)}, {}, 1, False),
    "a part of its document was found out about already": ({}, {}, 2, False),
    "it was looked for in vain before": ({"lookups": 1}, {}, 1, False),
    "the document is not known": ({"body": None}, {}, 1, False),
    "the record has an item by now": ({}, {"monday_id": "7"}, 1, False),
    "its sync was turned off": ({}, {"sync_enabled": False}, 1, False),
    "it only takes over": ({}, {"sync_direction": "monday_to_npd"}, 1, False),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_create_is_sent_again_only_as_the_same_document(row: str) -> None:
    of_intent, of_record, whole, again = ROWS[row]
    record = contact(**{"monday_id": None} | of_record)
    assert is_resendable(board(), [unsure(record, **of_intent)], {record.pk: record}, whole, NOW) is again


def test_a_create_of_a_deleted_record_is_not_sent_again() -> None:
    assert not is_resendable(board(), [unsure(ANN)], {}, 1, NOW)


@pytest.mark.parametrize(
    ("error", "replayed", "is_void"),
    [
        (RecordRejected("no"), False, True),
        (ServerFailed("internal"), False, False),
        (ServerFailed("internal"), True, True),
    ],
    ids=["refused", "nothing known", "a replay tells of the first sending"],
)
def test_what_the_second_answer_says(error: ConnectorError, replayed: bool, is_void: bool) -> None:
    intents, made = [unsure(ANN), unsure(BOB, "r1")], Item("8", "Ann", "active")
    found = resent_creates(intents, WriteResult({"r0": made, "r1": error}, replayed=replayed))
    assert found.made == {str(ANN.pk): made}
    assert [one.alias for one in found.void] == (["r1"] if is_void else [])
    assert [(one.alias, why) for one, why in found.unknown] == ([] if is_void else [("r1", error.sentence)])
