"""A second item with an NPD ID: the link stays, the copy's NPD ID is cleared (docs/reference/merge, R18)."""

from copy import copy
from dataclasses import replace
from typing import Any

import pytest

from sync.models import Intent, IntentState
from sync.monday.board_items import Item
from sync.outbox.claim import Claim
from sync.reconcile.facts import ItemFacts, RecordHistory
from sync.reconcile.missing import duplicates
from sync.reconcile.missing.duplicates import is_own_create, is_to_archive
from sync.reconcile.pass_plan import CLEAR_NPD_ID, OPEN, ItemPlan, Outcome, Write, WriteVerdict
from tests.decide.builders import NOW, TOKEN_USER, TOM, answered_as, board, contact, created, edit, facts, gone, item

ANN = contact(name="Ann", monday_id="7", role_title="Boss")
BOARD = board(only=["name", "role_title"])
COPY = replace(item(ANN, role_title="Boss"), id="8")
OWN_ITEM = item(ANN, role_title="Boss")
BOB = contact(name="Bob")


def duplicate(*, shown: Item = COPY, own: Item | None = OWN_ITEM, is_ours: bool = False, **about: Any) -> ItemPlan:
    """A second item of Ann's with the values that a create of ours sent; `about` is Ann's history, `events` its own."""
    events = tuple(about.pop("events", ()))
    first = facts(ANN, history=RecordHistory(NOW, **{"intents": (created("Boss"),)} | about))
    item_facts = ItemFacts(
        Claim(None, "8", []), shown, events=events, npd_id_record=ANN, duplicate_of=first, original_item=own
    )
    return ItemPlan(item_facts, OPEN, act=CLEAR_NPD_ID, record=ANN, is_ours=is_ours)


def copy_of_hers() -> ItemPlan:
    return ItemPlan(ItemFacts(Claim(None, "8", []), COPY), OPEN, act="archive", record=ANN)


MADE_BY_US = [edit("x", type="create_pulse", user_id=TOKEN_USER)]
MADE_BY_TOM = [edit("x", type="create_pulse", user_id=TOM)]

OURS: dict[str, tuple[ItemPlan, bool]] = {
    "a create without an answer says what it says": (duplicate(), True),
    "we made it, and got an answer": (
        duplicate(events=MADE_BY_US, intents=(created("Boss", state=IntentState.APPLIED),)),
        True,
    ),
    "no create was ever looked for": (duplicate(intents=(created("Boss", was_searched=False),)), False),
    "somebody else made it": (duplicate(events=MADE_BY_TOM), False),
    "somebody wrote into another column": (duplicate(events=[*MADE_BY_US, *MADE_BY_TOM]), False),
    "somebody touched it": (duplicate(shown=replace(COPY, name="Anna")), False),
    "the record was linked with it once": (duplicate(unlinked_items=frozenset({COPY.id})), False),
    "we wrote to it once": (duplicate(intents=(created("Boss"), created("Boss", item_id="8"))), False),
}


@pytest.mark.parametrize("row", OURS)
def test_whose_the_second_item_is(row: str) -> None:
    plan, ours = OURS[row]
    if first := plan.facts.duplicate_of:
        as_us = replace(first, history=replace(first.history, token_user=TOKEN_USER))
        plan = replace(plan, facts=replace(plan.facts, duplicate_of=as_us))
    assert is_own_create(BOARD, plan) is ours


def test_without_our_own_user_only_a_lost_answer_makes_it_ours() -> None:
    assert is_own_create(BOARD, duplicate(events=MADE_BY_TOM))
    assert not is_own_create(BOARD, duplicate(events=MADE_BY_US, intents=(created("Boss", state=IntentState.APPLIED),)))


@pytest.mark.parametrize(
    ("answer", "leaves"),
    [
        (answered_as(Outcome.OPEN, item=COPY), True),
        (answered_as(Outcome.OPEN, item=replace(COPY, values=item(ANN, role_title="Chair").values)), False),
        (gone("No such item."), False),
    ],
    ids=["as it was read", "edited since", "gone since"],
)
def test_ours_is_archived_where_the_clearing_shows_it_untouched(answer: Write, leaves: bool) -> None:
    assert is_to_archive(BOARD, duplicate(is_ours=True), answer) is leaves
    assert is_to_archive(BOARD, copy_of_hers(), None)


DONE, REMOVED = (answered_as(Outcome.OPEN, item=COPY, open_intent=Intent()), gone("No such item."))
FOUND, OWN = duplicate(), duplicate(is_ours=True)


RESULTS: dict[str, tuple[ItemPlan, list[Write], str | None, str]] = {
    "cleared: a person is asked": (FOUND, [DONE], None, ""),
    "it left the board meanwhile": (FOUND, [REMOVED], "conflict_identity", "it is not on the board any more."),
    "ours is archived": (OWN, [DONE, DONE], "conflict_identity", "nobody had touched it, so it was archived."),
    "ours was edited before it was cleared": (OWN, [DONE], None, ""),
    "a person's copy is archived": (copy_of_hers(), [DONE], None, "copy of “Ann”; it was archived on Monday."),
}


@pytest.mark.parametrize("row", RESULTS)
def test_what_is_said_of_it(row: str) -> None:
    plan, answers, kind, detail = RESULTS[row]
    result = copy(plan)
    duplicates.take_answers(board(), result, answers)
    assert (result.outcome, result.kind) == (Outcome.SETTLED, kind)
    assert detail in result.sentence
    assert len(result.intents) == answers.count(DONE)


@pytest.mark.parametrize(
    "failed",
    [
        answered_as(Outcome.RELEASED, "Why."),
        answered_as(Outcome.RELEASED, "Why.", verdict=WriteVerdict.WITHDRAWN),
        answered_as(Outcome.DEFERRED, "Why."),
        answered_as(Outcome.FAILED, "Why."),
    ],
)
def test_one_whose_call_failed_is_neither_asked_about_nor_logged(failed: Write) -> None:
    for answers in ([failed], [DONE, failed]):
        result = copy(OWN)
        duplicates.take_answers(board(), result, answers)
        assert (result.outcome, result.ending.detail, result.kind) == (failed.ending.outcome, "Why.", None)
