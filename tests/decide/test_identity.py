"""Which item belongs to which record, and answers to that question: docs/reference/merge/record-and-item.md."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from conflicts.reports import RECORD_KEY, ConflictKind, ConflictReport, FieldSelection, OpenConflict, Option
from npd.models import Contact
from sync.choices import Cause
from sync.fields.field_values import BoardContext
from sync.models import IgnoredItem
from sync.monday.board_items import BatchItems, Item
from sync.reconcile.facts import PassFacts, RecordFacts
from sync.reconcile.missing.duplicates import find_possible_duplicates
from sync.reconcile.missing.identity import choose_items
from sync.reconcile.missing.questions import answers_of, decide_answers
from sync.reconcile.pass_plan import IdentityAnswer, Plan, RecordPlan
from sync.records.item_links import NEW_ITEM_KEY
from tests.decide.builders import an_item, at, board, claim, contact, draft, facts, filtered, plain
from tests.support.words import said

EMAIL = "ann@example.com"
BY_EMAIL = board()


def ann(seconds: float = 0, **differs: Any) -> Contact:
    """A contact without an item, made `seconds` after now."""
    return contact(**{"monday_id": None, "email": EMAIL, "created_at": at(seconds)} | differs)


def shown(item_id: str = "7", npd_id: UUID | str | None = "", email: str | None = EMAIL, **differs: Any) -> Item:
    """An item with this email address; an NPD ID or address of None can't be read."""
    return an_item(email, npd_id, id=item_id, name=f"Item {item_id}", **differs)


def question(act: str, value: str = "", *, kind: str = ConflictKind.IDENTITY, deletes: Any = "") -> OpenConflict:
    """An open question with this answer; `deletes` is the record that merging deletes, which it shows."""
    resolutions = {RECORD_KEY: FieldSelection(act, value or None)} if act else {}
    return OpenConflict(uuid4(), kind, "7", (), resolutions, about={"shown": {str(deletes): {}}})


def identified(
    *records: Contact,
    by_npd_id: Sequence[Item] = (),
    by_match: Sequence[Item] = (),
    by_name: Sequence[Item] = (),
    on: BoardContext = BY_EMAIL,
    as_new: bool = False,
    **more: Any,
) -> list[RecordPlan]:
    read_items = BatchItems(by_npd_id=list(by_npd_id), by_match=list(by_match), by_name=list(by_name))
    former_item = more.pop("former_item", None)
    claimed = [facts(record, former_item=former_item) for record in records]
    for row in (row for record_facts in claimed for row in record_facts.claim.jobs if as_new):
        row.payload = {NEW_ITEM_KEY: True}
    return identified_in(PassFacts(on, at(0), items=read_items, **more), *claimed)


def identified_in(pass_facts: PassFacts, *claimed: RecordFacts) -> list[RecordPlan]:
    plans = [RecordPlan(record_facts) for record_facts in claimed]
    choose_items(pass_facts, plans)
    return plans


def is_new(plan: RecordPlan) -> bool:
    return plan.creates and plan.is_open and (plan.question, plan.reason, plan.link_to) == (None, "", None)


def answers_in(question: ConflictReport) -> list[str]:
    return [Option(**option).name for option in question.data["options"]]


def ignored(item_id: str, record: Contact | None = None, *, left_alone: bool = True) -> IgnoredItem:
    return plain(
        IgnoredItem,
        item_id=item_id,
        entity_id=record.pk if record else None,
        left_alone=left_alone,
        reason=said("Mary did."),
    )


def candidates_of(plan: RecordPlan) -> list[tuple[str, str | None]]:
    assert plan.question is not None
    return [(candidate["id"], candidate["linked_to"]) for candidate in plan.question.candidates]


# There, never linked | not known.


KEY = UUID(int=7)


@pytest.mark.parametrize(
    ("by_npd_id", "by_match", "item", "as_new"),
    [
        pytest.param([shown(npd_id=KEY, email="other@example.test")], [], "7", False, id="by its NPD ID"),
        pytest.param([], [shown(), shown("8", email="other@example.test")], "7", False, id="by its key"),
        pytest.param([shown("8", npd_id=KEY, email="")], [shown()], "8", False, id="an NPD ID counts more than a key"),
        pytest.param([], [shown(npd_id=uuid4())], "7", False, id="the NPD ID in it is of no record any more"),
        pytest.param([shown(npd_id=KEY)], [], "7", True, id="it bears its NPD ID, though a person wants a new one"),
    ],
)
def test_one_free_hit_is_linked(by_npd_id: list[Item], by_match: list[Item], item: str, as_new: bool) -> None:
    [plan] = identified(ann(pk=KEY), by_npd_id=by_npd_id, by_match=by_match, as_new=as_new)
    assert (plan.link_to, plan.creates, plan.reason) == (item, False, "")


@pytest.mark.parametrize(
    ("case", "items", "more"),
    [
        ("nothing is found", [], {}),
        ("an archived item is no hit", [shown(state="archived")], {}),
        ("an empty key is none", [shown(email="")], {}),
        ("an ignored item", [shown()], {"ignored": {"7": ignored("7")}}),
    ],
)
def test_none_the_item_is_created(case: str, items: list[Item], more: dict[str, Any]) -> None:
    assert all(map(is_new, identified(ann(), by_match=items, **more))), case


def test_none_on_a_board_that_holds_creates_nothing_is_created_until_a_person_wants_it() -> None:
    holding = board(creates_held="30 items on the board have no email.")
    [plan] = identified(ann(), on=holding)
    assert not plan.creates
    assert "nothing new is created" in plan.reason
    assert all(map(is_new, identified(ann(), on=holding, as_new=True)))


@pytest.mark.parametrize("items", [[], [shown("8", email="other@example.test")]])
def test_what_the_plan_had_no_new_item_for_is_asked_about(items: list[Item]) -> None:
    items = [replace(item, name="Ann") for item in items]
    claimed = facts(ann(name="Ann"))
    claimed.sync_state.is_unplanned = True
    read = PassFacts(BY_EMAIL, at(0), items=BatchItems(by_name=items))
    [plan] = identified_in(read, claimed)
    assert plan.question is not None
    assert answers_in(plan.question) == [*(f"same_name {item.id}" for item in items), "new_item"]
    claimed.claim = claim(claimed.record, Cause.PERSON, **{NEW_ITEM_KEY: True})
    assert all(map(is_new, identified_in(read, claimed)))


@pytest.mark.parametrize("reason", ["", "Items of the board have no email."])
@pytest.mark.parametrize(
    ("email", "items", "more", "asked"),
    [
        pytest.param(EMAIL, [shown(email="")], {}, ["7"], id="the item has no key"),
        pytest.param("", [shown()], {}, ["7"], id="the record has no key"),
        pytest.param(EMAIL, [shown(email=None)], {}, ["7"], id="the item's key can't be read"),
        pytest.param(EMAIL, [shown(email=""), shown("8", email="")], {}, ["7", "8"], id="two items"),
        pytest.param(EMAIL, [shown(email="b@x.org")], {}, [], id="both have a key: they are two"),
        pytest.param(EMAIL, [shown(email="")], {"owners": {"7": uuid4()}}, [], id="another record's item"),
        pytest.param(EMAIL, [shown(email="")], {"ignored": {"7": ignored("7")}}, [], id="an ignored item"),
    ],
)
def test_a_name_on_an_item_is_asked_about_where_a_key_is_missing(
    email: str, items: list[Item], more: dict[str, Any], asked: list[str], reason: str
) -> None:
    for name in "Item 7", "ITEM  7":
        by_name = [replace(item, name=name) for item in items]
        record = ann(name="item 7", email=email)
        [plan] = identified(record, by_name=by_name, on=board(creates_held=reason), **more)
        if asked:
            assert candidates_of(plan) == [(key, None) for key in asked]
        else:
            assert (plan.question, plan.creates, bool(plan.reason)) == (None, not reason, bool(reason))
        assert all(map(is_new, identified(record, by_name=by_name, as_new=True, **more)))


def test_an_item_that_is_asked_about_by_name_stays_so_whatever_is_filled_in() -> None:
    question = OpenConflict(uuid4(), ConflictKind.IDENTITY, "7", (), about={"candidates": [{"id": "7"}]})
    record_facts = facts(ann(name="Item 7"), conflicts=(question,))
    items = BatchItems(by_name=[shown(email="b@x.org")])
    [plan] = identified_in(PassFacts(BY_EMAIL, at(0), items=items), record_facts)
    assert candidates_of(plan) == [("7", None)]


def test_an_item_that_a_person_said_is_not_the_records_stays_another_ones() -> None:
    first, other = ann(), ann(5)
    plans = identified(first, other, by_match=[shown()], ignored={"7": ignored("7", first, left_alone=False)})
    assert [(plan.creates, plan.item is not None) for plan in plans] == [(True, False), (False, True)]


def test_several_hits_are_asked_about() -> None:
    [plan] = identified(ann(), by_match=[shown(), shown("8")])
    assert plan.question is not None
    assert (
        plan.question.what == "2 items on the board could be this contact. Nothing is created until somebody answers."
    )
    assert candidates_of(plan) == [("7", None), ("8", None)]
    assert answers_in(plan.question) == ["link 7", "link 8", "new_item"]
    assert plan.reason.startswith("Who is this? 2 items on the board could be")
    assert not any("you are asked" in option["effect"] for option in plan.question.data["options"])


def test_of_several_items_with_its_npd_id_each_answer_says_that_the_others_are_asked_about_next() -> None:
    [plan] = identified(ann(pk=KEY), by_npd_id=[shown(npd_id=KEY), shown("8", npd_id=KEY)])
    assert plan.question is not None
    effects = {option["choose"]: str(option["effect"]) for option in plan.question.data["options"]}
    assert "you are asked" in effects["link"]
    assert "you are asked" not in effects["new_item"]


@pytest.mark.parametrize("case", ["by its link", "by its NPD ID", "by its link, whatever NPD ID is in it"])
def test_a_hit_linked_elsewhere_is_asked_about(case: str) -> None:
    record, owner = ann(), uuid4()
    npd_id = {"by its NPD ID": owner, "by its link, whatever NPD ID is in it": record.pk}.get(case, "")
    owners = {} if case == "by its NPD ID" else {"7": owner}
    item = shown(npd_id=npd_id)
    by_npd_id = [item] if npd_id == record.pk else []
    more = {"owners": owners, "known_npd_ids": frozenset({record.pk, owner})}
    [plan] = identified(record, by_npd_id=by_npd_id, by_match=[item], **more)
    assert candidates_of(plan) == [("7", str(owner))]
    assert plan.question is not None
    assert plan.question.what.startswith("The item that fits already belongs to another contact")
    assert answers_in(plan.question) == ["new_item"]


def test_a_question_offers_to_delete_a_record_that_was_made_from_the_item_and_not_touched() -> None:
    record = ann(monday_id="7")
    more: dict[str, Any] = {"by_match": [shown()], "owners": {"7": record.pk}}
    [plan] = identified(ann(5), **more, unedited={record.pk: record})
    assert plan.question is not None
    assert answers_in(plan.question) == [f"merge_records {record.pk}", "new_item"]


@pytest.mark.parametrize(
    ("by_npd_id", "by_match", "reason"),
    [
        ([], [shown(email=None)], "Email of the item “Item 7” on the board can't be read"),
        ([], [shown(npd_id=None)], "The NPD ID of the item “Item 7” on the board can't be read"),
        ([shown(npd_id=None)], [], "The NPD ID of the item “Item 7” on the board can't be read"),
    ],
)
def test_what_cant_be_read_makes_nothing(by_npd_id: list[Item], by_match: list[Item], reason: str) -> None:
    [plan] = identified(ann(), by_npd_id=by_npd_id, by_match=by_match)
    assert plan.reason.startswith(reason)
    assert (plan.item, plan.creates, plan.question) == (None, False, None)


def test_a_key_that_cant_be_read_is_nothing_beside_one_that_fits_or_where_the_item_has_a_record() -> None:
    [plan] = identified(ann(), by_match=[shown(email=None), shown("8")])
    assert plan.item is not None
    assert all(map(is_new, identified(ann(), by_match=[shown(email=None)], owners={"7": uuid4()})))


@pytest.mark.parametrize("bears_its_npd_id", [False, True], ids=["cleared", "it was gone then, and is back"])
def test_a_record_that_was_unlinked_is_asked_whether_it_takes_its_item_back(bears_its_npd_id: bool) -> None:
    record = ann()
    row = ignored("9", record)
    more: dict[str, Any] = {"ignored": {"9": row}, "former_item": row}
    more["by_npd_id"] = [shown("9", npd_id=record.pk)] if bears_its_npd_id else []
    [plan] = identified(record, **more, by_match=more["by_npd_id"])
    assert candidates_of(plan) == [("9", None)]
    [plan] = identified(record, **more, as_new=True)
    assert plan.creates


def test_the_question_about_a_former_item_shows_its_values() -> None:
    record = ann()
    items = BatchItems(by_id={"9": shown("9", role_title="Chief")})
    [plan] = identified_in(PassFacts(BY_EMAIL, at(0), items=items), facts(record, former_item=ignored("9", record)))
    assert plan.question is not None
    [candidate] = plan.question.candidates
    assert (candidate["id"], candidate["values"]["role_title"]) == ("9", "Chief")


def test_none_of_them_makes_an_item_of_its_own() -> None:
    [plan] = identified(ann(), by_match=[shown(), shown("8"), shown("9")], as_new=True, owners={"9": uuid4()})
    assert is_new(plan)


def test_an_item_that_the_filter_leaves_out_is_neither_linked_nor_made_twice() -> None:
    [plan] = identified(ann(), by_match=[shown(role_title="Clerk")], on=filtered("items", "Boss"))
    assert (bool(plan.filter_reason), plan.creates, plan.item) == (True, False, None)
    [plan] = identified(ann(), by_match=[shown(unknown=["role_title"])], on=filtered("items", "Boss"))
    assert (bool(plan.filter_reason), plan.creates, plan.item) == (False, False, None)
    assert "may be this record's, so none was linked or created" in plan.reason


# A pass of several.


@pytest.mark.parametrize("is_turned", [False, True])
def test_the_oldest_of_one_key_gets_a_new_item_and_the_others_find_it_next_pass(is_turned: bool) -> None:
    oldest, later, other = ann(0), ann(5), ann(6, email="other@example.test")
    claimed = [other, later, oldest] if is_turned else [oldest, later, other]
    plans = dict(zip(claimed, identified(*claimed), strict=True))
    assert [plans[record].creates for record in (oldest, later, other)] == [True, False, True]
    assert plans[later].ending.wait_seconds > 0
    assert "has the same email, and gets an item first" in plans[later].reason
    [asked_about] = identified(later, by_match=[shown()], owners={"7": oldest.pk})
    assert candidates_of(asked_about) == [("7", str(oldest.pk))]


def test_nobody_waits_for_the_item_of_one_that_only_takes_over_from_monday() -> None:
    claimed = [ann(0, sync_direction="monday_to_npd"), ann(5)]
    assert [plan.creates for plan in identified(*claimed)] == [True, True]


def test_records_without_a_key_or_of_which_a_person_said_that_none_of_the_items_is_theirs_get_one_each() -> None:
    assert [plan.creates for plan in identified(ann(email=""), ann(5, email=""))] == [True, True]
    assert [plan.creates for plan in identified(ann(), ann(5), as_new=True)] == [True, True]


# A record made from an item whose match key equals another record's.


@pytest.mark.parametrize(
    ("case", "made_from_item", "email", "is_unedited", "is_asked"),
    [
        ("untouched, with another's key", True, EMAIL, True, True),
        ("touched in NPD", True, EMAIL, False, False),
        ("not made from an item", False, EMAIL, True, False),
        ("its item has no key", True, "", True, False),
    ],
)
def test_same_person(case: str, made_from_item: bool, email: str, is_unedited: bool, is_asked: bool) -> None:
    record, original = ann(monday_id="7", email=""), ann(name="Known")
    plan = draft(record, item=shown(email=email), sync_state={"made_from_item": made_from_item})
    plan.facts.is_possible_duplicate = is_unedited
    same_key = {EMAIL: [record, original]}
    pass_facts = PassFacts(BY_EMAIL, at(0), records=(plan.facts,), same_key=same_key)
    find_possible_duplicates(pass_facts, Plan({record.pk: plan}))
    question = plan.question
    assert bool(question) is is_asked, case
    if question:
        assert question.what == "“Ann”, which was made from an item on the board, has the same email as “Known”."
        assert answers_in(question) == [f"merge_records {original.pk}", "two_records"]


# Answers.


def answer(record: Contact, act: str, value: str = "", **more: Any) -> IdentityAnswer:
    [parsed] = answers_of(facts(record, conflicts=(question(act, value, **more),)))
    return parsed


OTHER = UUID(int=5)


@pytest.mark.parametrize(
    ("act", "value", "deletes", "gets", "item_id"),
    [
        ("link", str(OTHER), None, OTHER, "7"),
        ("link", "8", None, "own", "8"),
        ("same_name", "8", None, "own", "8"),
        ("merge_records", str(OTHER), "own", OTHER, "7"),
        ("merge_records", str(OTHER), OTHER, "own", "7"),
        ("new_item", "", None, None, "7"),
        ("leave_alone", "", None, None, "7"),
        ("two_records", "", None, None, "7"),
    ],
)
def test_what_an_answer_means(act: str, value: str, deletes: Any, gets: Any, item_id: str) -> None:
    record = ann()
    ids = {"own": record.pk}
    deleted = ids.get(deletes, deletes)
    parsed = answer(record, act, value, deletes=deleted)
    assert (parsed.record_id, parsed.merged_id, parsed.item_id) == (ids.get(gets, gets), deleted, item_id)


@pytest.mark.parametrize("act", ["new_record", "archive"])
def test_what_is_no_answer_to_a_question_of_identity(act: str) -> None:
    record = ann()
    assert answers_of(facts(record, conflicts=(question(act), question("npd", kind=ConflictKind.FIELDS)))) == []


def decided(answers: list[IdentityAnswer], *records: Contact, obstacle: str = "") -> None:
    """Decide these answers, with these records in NPD; `obstacle` keeps one from being deleted."""
    obstacles = {entry.conflict.conflict_id: obstacle for entry in answers}
    decide_answers(answers, {record.pk: record for record in records}, obstacles)


@pytest.mark.parametrize(
    ("case", "record", "others", "problem"),
    [
        ("free", ann(), [], ""),
        ("deleted", None, [], "That record was deleted meanwhile."),
        ("has an item by now", ann(monday_id="9"), [], "“Ann” now has another item."),
        ("its sync is off", ann(sync_enabled=False), [], ""),
        ("taken", ann(), [ann(name="Bea", monday_id="8")], "The item now belongs to “Bea”."),
    ],
)
def test_an_item_is_given_if_it_can(case: str, record: Contact | None, others: list[Contact], problem: str) -> None:
    plan = answer(record or ann(), "link", "8")
    decided([plan], *filter(None, [record]), *others)
    result = "" if problem else "Linked “Ann” with the item 8."
    assert (plan.rejection_reason, plan.result) == (problem, result), case


@pytest.mark.parametrize(
    ("case", "differs", "outdated", "result"),
    [
        ("the other takes the item", {}, "", "and its item 7 is the item of “Known” now."),
        ("the other has one", {"monday_id": "9"}, "", "its item with it as the board's setting says."),
        ("the other's sync is off", {"sync_enabled": False}, "", "and its item 7 is the item of “Known” now."),
        ("it was edited", {"obstacle": "It was changed."}, "It was changed.", ""),
        ("the other is gone", {"gone": True}, "one of the two records was deleted meanwhile.", ""),
    ],
)
def test_two_that_are_the_same_become_one(case: str, differs: dict[str, Any], outdated: str, result: str) -> None:
    record, is_gone, obstacle = ann(monday_id="7"), differs.pop("gone", False), differs.pop("obstacle", "")
    other = ann(name="Known", **differs)
    records = [record] if is_gone else [record, other]
    plan = answer(record, "merge_records", str(other.pk), deletes=record.pk)
    decided([plan], *records, obstacle=obstacle)
    assert plan.rejection_reason.endswith(outdated), case
    assert plan.result.endswith(result), case
    assert bool(plan.rejection_reason) is bool(outdated)
    assert plan.moves_item is ("is the item of" in result)


def test_an_item_is_given_to_one_of_two_answers() -> None:
    record, other = ann(), ann(5, name="Bea")
    answers = [answer(record, "link", "8"), answer(other, "link", "8"), answer(record, "link", "9")]
    decided(answers, record, other)
    reasons = [entry.rejection_reason for entry in answers]
    assert reasons == ["", "The item now belongs to “Ann”.", "“Ann” now has another item."]
    assert record.monday_id is None


def test_a_record_is_deleted_for_one_of_two_answers() -> None:
    record, other, third = ann(monday_id="7"), ann(name="Known"), ann(5, name="Bea")
    answers = [
        answer(record, "merge_records", str(other.pk), deletes=record.pk),
        answer(other, "merge_records", str(record.pk), deletes=record.pk),
        answer(third, "link", "7"),
    ]
    decided(answers, record, other, third)
    assert answers[1].rejection_reason == "one of the two records was deleted meanwhile."
    assert answers[2].rejection_reason == "The item now belongs to “Known”."
