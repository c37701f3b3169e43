"""A second item with an NPD ID: the link stays, the copy's NPD ID is cleared (docs/reference/merge, R18)."""

from copy import copy
from dataclasses import replace

import pytest

from sync.models import Intent
from sync.outbox.claim import Claim
from sync.reconcile.facts import ItemFacts
from sync.reconcile.missing.duplicates import take_answer
from sync.reconcile.outcomes import OPEN, Outcome, Write
from sync.reconcile.pass_plan import CLEAR_NPD_ID, ItemPlan
from tests.decide.builders import answered_as, board, contact, gone, item

ANN = contact(name="Ann", monday_id="7", role_title="Boss")
COPY = replace(item(ANN, role_title="Boss"), id="8")


def second(act: str) -> ItemPlan:
    """A second item of Ann's, about which this is done."""
    return ItemPlan(ItemFacts(Claim(None, "8", []), COPY), OPEN, act=act, record=ANN)


DONE, REMOVED = (answered_as(Outcome.OPEN, item=COPY, open_intent=Intent()), gone("No such item."))
FOUND, COPY_OF_HERS = second(CLEAR_NPD_ID), second("archive")


RESULTS: dict[str, tuple[ItemPlan, Write, str | None, str]] = {
    "cleared: a person is asked": (FOUND, DONE, None, ""),
    "it left the board meanwhile": (FOUND, REMOVED, "conflict_identity", "it is not on the board any more."),
    "a person's copy is archived": (COPY_OF_HERS, DONE, None, "copy of “Ann”; it was archived on Monday."),
    "a person's copy left meanwhile": (COPY_OF_HERS, REMOVED, None, "copy of “Ann”; it was archived on Monday."),
}


@pytest.mark.parametrize("row", RESULTS)
def test_what_is_said_of_it(row: str) -> None:
    plan, answer, kind, detail = RESULTS[row]
    result = copy(plan)
    take_answer(board(), result, answer)
    assert (result.outcome, result.kind) == (Outcome.DONE, kind)
    assert detail in result.sentence
    assert (result.write.is_done and result.write.open_intent is not None) is (answer is DONE)
    assert bool(result.question) is (row == "cleared: a person is asked")


@pytest.mark.parametrize(
    "failed",
    [
        answered_as(Outcome.RELEASED, "Why."),
        answered_as(Outcome.RELEASED, "Why.", is_withdrawn=True),
        answered_as(Outcome.DEFERRED, "Why."),
        answered_as(Outcome.FAILED, "Why."),
    ],
)
def test_one_whose_call_failed_is_neither_asked_about_nor_logged(failed: Write) -> None:
    for plan in (FOUND, COPY_OF_HERS):
        result = copy(plan)
        take_answer(board(), result, failed)
        assert (result.outcome, result.ending.detail, result.kind) == (failed.ending.outcome, "Why.", None)
