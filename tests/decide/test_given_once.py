"""One item, two rules of one pass: what one rule gives to a record, the other neither gives nor takes away."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from conflicts.reports import RECORD_KEY, ConflictKind, FieldSelection, OpenConflict
from sync.choices import TombstoneState
from sync.fields.field_values import item_values
from sync.models import Tombstone
from sync.monday.board_items import Item
from sync.reconcile.facts import DeletedFacts, RecordFacts
from sync.reconcile.outcomes import Outcome
from sync.records.item_links import AS_NEW_KEY, LINK_TO_KEY
from tests.decide import builders
from tests.decide.builders import an_item, plain, record_facts
from tests.decide.plan_builders import World

ANN, BEA, GONE = UUID(int=1), UUID(int=2), UUID(int=3)


def record(key: UUID, item_id: str | None, email: str) -> RecordFacts:
    return record_facts({"email": email}, record={"id": key, "monday_id": item_id})


def shown(key: str, bears: UUID | None = None, email: str = "ann@example.com") -> Item:
    return an_item(email, bears or "", id=key)


def world(*records: RecordFacts, items: list[Item], **more: Any) -> World:
    return World(records=records, items={item.id: item for item in items}, **more)


FREE = record(ANN, None, "ann@example.com")
ITS_OWN, ITS_KEY = shown("10", ANN), shown("11")


def test_a_record_that_gets_its_item_by_npd_id_gets_no_other_by_its_key() -> None:
    plan = world(FREE, items=[ITS_OWN, ITS_KEY], unmatched=["10", "11"]).plan()
    assert plan.records[ANN].link_to == "10"
    assert [bool(entry.candidates) for entry in plan.items] == [False, True]


def test_of_an_item_that_a_record_gets_nobody_is_asked_whose_it_is() -> None:
    second = record(BEA, None, "ann@example.com")
    plan = world(FREE, second, items=[ITS_KEY], unmatched=["11"]).plan()
    assert plan.records[ANN].link_to == "11"
    assert [(entry.act, bool(entry.record)) for entry in plan.items] == [("", True)]
    assert plan.records[BEA].question


def copy_question(item: Item, shown_email: str = "") -> tuple[UUID, OpenConflict]:
    """The question whether this item copies Bea's, which a person answered so, as it showed the item."""
    values = item_values(builders.board(), shown(item.id, email=shown_email) if shown_email else item)
    about = {"asks": "copy", "what": "One?", "item": {}, "shown": {item.id: values}}
    answer = {RECORD_KEY: FieldSelection("archive", npd="One?")}
    return BEA, OpenConflict(uuid4(), ConflictKind.IDENTITY, item.id, (), answer, about=about)


def test_a_copy_is_archived_unless_a_record_gets_it_by_this_pass() -> None:
    linked = record(BEA, "12", "bea@example.com")
    items = [ITS_OWN, shown("12", BEA, "bea@example.com")]
    copy: dict[str, Any] = {"items": items, "unmatched": ["10"], "questions": {"10": copy_question(ITS_OWN)}}
    plan = world(FREE, linked, **copy).plan()
    assert plan.records[ANN].link_to == "10"
    assert [(entry.act, bool(entry.record)) for entry in plan.items] == [("", True)]
    [entry] = world(linked, **copy).plan().items
    assert (entry.act, entry.original_record.pk) == ("archive", BEA)
    copy["jobs"] = {"10": {AS_NEW_KEY: True}}
    [entry] = world(linked, **copy).plan().items
    assert entry.act == "create_record", "somebody asked for a record of it since"


@pytest.mark.parametrize("own", [None, "archived", "deleted", "on another board", "edited"])
def test_a_copy_is_not_archived_if_it_was_edited_or_is_the_records_last_item_on_the_board(own: str | None) -> None:
    linked = record(BEA, "12", "bea@example.com")
    its_item = shown("12", BEA, "bea@example.com")
    removed = replace(its_item, board_id="2") if own == "on another board" else replace(its_item, state=own or "")
    original = its_item if own == "edited" else removed
    copy = shown("10", None, "bea@example.com")
    question = copy_question(copy, shown_email="b@example.com" if own == "edited" else "")
    items = [copy, *([original] if own else [])]
    [entry] = world(linked, items=items, unmatched=["10"], questions={"10": question}).plan().items
    assert (entry.act, bool(entry.question and entry.question.rejected)) == ("", True)
    assert ("bea@example.com" in entry.question.what) is (own == "edited"), "it says what was edited"


def test_a_deleted_records_item_that_somebody_gives_to_another_stays() -> None:
    facts = record(GONE, "11", "ann@example.com")
    tombstone = plain(Tombstone, entity_type="contact", entity_id=GONE, monday_id="11", state=TombstoneState.WAITING)
    chosen = record(BEA, None, "bea@example.com")
    plan = world(
        chosen,
        items=[shown("11", GONE)],
        unmatched=["11"],
        jobs={"11": {LINK_TO_KEY: str(BEA)}},
        deleted=[DeletedFacts(**vars(facts), tombstone=tombstone)],
    ).plan()
    assert [entry.act for entry in plan.items] == ["link"]
    assert (plan.deleted[GONE].ending.outcome, plan.deleted[GONE].act) == (Outcome.DEFERRED, "")
