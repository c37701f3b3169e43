"""A create without an answer (docs/reference/merge, W14): sent again under its key or made anew, never twice."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from npd.models import Contact
from sync.models import Intent
from sync.monday import errors
from sync.monday.board_items import Item, WriteResult
from sync.reconcile.unanswered_creates import (
    PAUSED_WAIT_SECONDS,
    CreatePlan,
    Fate,
    UnansweredDocument,
    after_resending,
    after_search,
    may_link,
)
from tests.architecture.test_pure_rules import effects_of
from tests.decide.builders import NOW, board, contact, filtered, plain

SETTLE_SECONDS = 60.0
ANN, BOB = contact(monday_id=None), contact(name="Bob", monday_id=None)
MADE = Item("8", "Ann", "active")


def unsure(record: Contact, alias: str = "r0", **differs: Any) -> Intent:
    """A create of this minute whose answer was lost."""
    values = {"created_at": NOW - timedelta(minutes=1), "body": {"query": "…"}} | differs
    return plain(Intent, entity_id=record.pk, alias=alias, **values)


def facts(*records: Contact, intent: dict[str, Any] | None = None, **differs: Any) -> UnansweredDocument:
    """A document with a create for each record (by default Ann), none of which is found; their jobs are due."""
    contacts = records or (ANN,)
    values: dict[str, Any] = {
        "board": board(),
        "intents": [unsure(record, f"r{number}", **intent or {}) for number, record in enumerate(contacts)],
        "items": {},
        "size": len(contacts),
        "records": {record.pk: record for record in contacts},
        "due": frozenset(record.pk for record in contacts),
        "is_paused": False,
        "was_voided_before": False,
        "others_answered": False,
        "wait_seconds": SETTLE_SECONDS,
        "now": NOW,
    }
    return UnansweredDocument(**values | differs)


def outline(plans: list[CreatePlan]) -> list[tuple[str, Fate, float]]:
    return [(plan.item.id if plan.item else "", plan.fate, plan.wait_seconds) for plan in plans]


WAIT, WAIT_FOR_RESUME = ("", Fate.WAIT, SETTLE_SECONDS), ("", Fate.WAIT, PAUSED_WAIT_SECONDS)
LOOK_AGAIN, FAIL = ("", Fate.LOOK_AGAIN, SETTLE_SECONDS), ("", Fate.FAIL, SETTLE_SECONDS)
LINK, RESEND, VOID = ("8", Fate.LINK, 0), ("", Fate.RESEND, 0), ("", Fate.VOID, 0)

OFF, PULLED = contact(monday_id=None, sync_enabled=False), contact(monday_id=None, sync_direction="monday_to_npd")
CHIEFS = filtered("records", "Chief")

NOTHING_FOUND: dict[str, tuple[UnansweredDocument, list[Any]]] = {
    "it goes again as it was": (facts(ANN, BOB), [RESEND, RESEND]),
    "a part of one that was looked for in vain is made anew": (facts(was_voided_before=True), [VOID]),
    "after half an hour the key is forgotten": (facts(intent={"created_at": NOW - timedelta(minutes=30)}), [VOID]),
    "a part of its document was found out about already": (facts(size=2), [VOID]),
    "it was looked for in vain before": (facts(intent={"was_searched": True}), [VOID]),
    "the document is not known": (facts(intent={"body": None}), [VOID]),
    "the record has an item by now": (facts(contact()), [VOID]),
    "the record was deleted": (facts(records={}), [VOID]),
    "its sync was turned off": (facts(OFF), [VOID]),
    "it only takes over": (facts(PULLED), [VOID]),
    "the filter leaves it out": (facts(board=CHIEFS), [VOID]),
    "the filter lets it through": (facts(contact(monday_id=None, role_title="Chief"), board=CHIEFS), [RESEND]),
    "one of several may not be made any more": (facts(ANN, OFF), [VOID, VOID]),
    "an attempt that isn't due is not made": (facts(due=frozenset()), [VOID]),
    "somebody has added an item with its match key": (facts(is_matched=True), [VOID]),
    "of several jobs one isn't due": (facts(ANN, BOB, due=frozenset({ANN.pk})), [VOID, VOID]),
    "while writing is paused it is looked for now and then": (facts(is_paused=True), [WAIT_FOR_RESUME]),
    "an NPD ID on the board can't be read": (facts(items=None), [WAIT]),
}


@pytest.mark.parametrize("row", NOTHING_FOUND)
def test_a_create_of_which_nothing_is_found_goes_again_only_as_the_same_document(row: str) -> None:
    document, expected = NOTHING_FOUND[row]
    assert outline(after_search(document)) == expected


SOME_FOUND: dict[str, tuple[UnansweredDocument, list[Any]]] = {
    "the rest is looked for once more": (facts(ANN, BOB), [LINK, LOOK_AGAIN]),
    "what is missing then is made anew": (facts(ANN, BOB, intent={"was_searched": True}), [LINK, VOID]),
    "a pause keeps nothing from being linked": (facts(ANN, is_paused=True), [LINK]),
    "nor that its record is not synced any more": (facts(ANN, records={}, due=frozenset()), [LINK]),
}


@pytest.mark.parametrize("row", SOME_FOUND)
def test_what_is_found_is_linked(row: str) -> None:
    document, expected = SOME_FOUND[row]
    assert outline(after_search(replace(document, items={str(ANN.pk): MADE}))) == expected


LATE, NO_DATA = errors.MondayError(errors.TIMED_OUT, "late"), errors.MondayError(errors.ANSWER_WITHOUT_DATA, "errors")

FAILED: dict[str, tuple[errors.MondayError | None, UnansweredDocument, list[Any]]] = {
    "paused before it could be sent": (None, facts(), [WAIT_FOR_RESUME]),
    "refused, so never carried out": (
        errors.MondayError(errors.DOCUMENT_REJECTED, "no"),
        facts(ANN, BOB),
        [VOID, VOID],
    ),
    "refused for one record": (errors.MondayError(errors.RECORD_REJECTED, "no"), facts(ANN, BOB), [VOID, VOID]),
    "the account's failure": (errors.MondayError(errors.NOT_AUTHENTICATED, "no"), facts(), [WAIT]),
    "never sent": (errors.MondayError(errors.UNREACHABLE, "no route"), facts(), [WAIT]),
    "an outage costs no attempt, and a document is sent again once": (LATE, facts(), [LOOK_AGAIN]),
    "alone while others are answered": (LATE, facts(others_answered=True), [FAIL]),
    "several while others are answered": (LATE, facts(ANN, BOB, others_answered=True), [LOOK_AGAIN] * 2),
    "answered without data": (NO_DATA, facts(), [LOOK_AGAIN]),
}


def test_what_is_decided_about_a_create_reads_no_row_and_no_clock() -> None:
    for document, _ in (NOTHING_FOUND | SOME_FOUND).values():
        assert not effects_of(partial(after_search, document))
    for error, document, _ in FAILED.values():
        assert not effects_of(partial(after_resending, document, error))


@pytest.mark.parametrize("row", FAILED)
def test_what_a_second_sending_that_failed_as_a_whole_means(row: str) -> None:
    error, document, expected = FAILED[row]
    plans = after_resending(document, error)
    assert outline(plans) == expected
    assert {plan.detail for plan in plans if plan.fate is Fate.FAIL} <= {error.sentence if error else ""}


@pytest.mark.parametrize(
    ("error", "replayed", "expected"),
    [
        (errors.MondayError(errors.RECORD_REJECTED, "no"), False, VOID),
        (errors.MondayError(errors.SERVER_FAILED, "internal"), False, FAIL),
        (errors.MondayError(errors.SERVER_FAILED, "internal"), True, VOID),
    ],
    ids=["refused", "nothing known", "a replay tells of the first sending"],
)
def test_what_the_second_answer_says_of_each(error: errors.MondayError, replayed: bool, expected: Any) -> None:
    answer = WriteResult({"r0": MADE, "r1": error}, replayed=replayed)
    created, failed = after_resending(facts(ANN, BOB), answer)
    assert outline([created, failed]) == [LINK, expected]
    assert failed.detail == (error.sentence if expected is FAIL else "")


NOBODY, SOMEBODY = None, uuid4()


@pytest.mark.parametrize(
    ("record", "owner", "links"),
    [
        pytest.param(ANN, NOBODY, True, id="both are free"),
        pytest.param(ANN, ANN.pk, True, id="its webhook was faster"),
        pytest.param(ANN, SOMEBODY, False, id="the item is another record's"),
        pytest.param(contact(id=ANN.pk), NOBODY, False, id="the record has another item"),
        pytest.param(None, NOBODY, False, id="the record was deleted"),
    ],
)
def test_what_was_made_is_linked_while_free(record: Contact | None, owner: UUID | None, links: bool) -> None:
    assert may_link(record, ANN.pk, owner) is links


@pytest.mark.parametrize(
    ("log", "intent", "expected"),
    [
        ({"is_log_read": False}, {}, RESEND),
        ({"is_log_read": False}, {"was_searched": True}, WAIT),
        ({"is_item_unknown": True}, {}, WAIT),
        ({"is_item_unknown": True}, {"was_searched": True}, WAIT),
        ({"is_item_unknown": True}, {"was_searched": True, "created_at": NOW - timedelta(minutes=11)}, VOID),
        ({"is_log_read": False}, {"was_searched": True, "created_at": NOW - timedelta(minutes=11)}, VOID),
    ],
)
def test_nothing_is_made_anew_while_a_search_may_be_late_and_the_log_does_not_tell(
    log: dict[str, bool], intent: dict[str, Any], expected: tuple[str, Fate, float]
) -> None:
    assert outline(after_search(facts(intent=intent, **log))) == [expected]
    part = facts(ANN, BOB, intent={"was_searched": True} | intent, items={str(ANN.pk): MADE}, **log)
    assert outline(after_search(part)) == [LINK, WAIT if expected == RESEND else expected]
