"""Items without a record, from facts alone: R10 to R23 of docs/reference/merge/record-and-item.md."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from npd.models import Contact, Organization
from sync.choices import Cause, TombstoneState, UnmatchedReason
from sync.fields.field_bases import new_base, new_sync_state
from sync.fields.field_values import BoardContext, Reference, local_values
from sync.models import FieldMapping, IgnoredItem, SyncedModel, SyncQueue, Tombstone
from sync.monday.board_items import BatchItems, Item, Reading
from sync.outbox.claim import Claim
from sync.reconcile.facts import ItemFacts, PassFacts, RecordFacts
from sync.reconcile.missing import unmatched_items
from sync.reconcile.missing.unmatched_items import after_rejection, decide_unmatched, decided_again
from sync.reconcile.outcomes import Outcome
from sync.reconcile.pass_plan import CLEAR_NPD_ID, ItemPlan, Plan
from sync.records.item_links import MAY_CREATE_KEY
from tests.decide import builders
from tests.decide.builders import NOW, after, an_item, arrival, deletion, edit, filtered, mapping, plain

EMAIL = "ann@example.com"


# Events of a minute ago.
NEW = (arrival(NOW - timedelta(minutes=1)),)


def board(*mappings: FieldMapping, **differs: Any) -> BoardContext:
    """The contacts' board on which new items become records."""
    return builders.board(*mappings, **{"creates_records": True} | differs)


def decide_item(item: ItemFacts, on: BoardContext | None = None, plan: Plan | None = None, **differs: Any) -> ItemPlan:
    return unmatched_items.decide_item(PassFacts(on or board(), NOW, **differs), item, plan or Plan())


def decide_items(items: Sequence[ItemFacts]) -> list[ItemPlan]:
    claims = tuple(item.claim for item in items)
    return list(
        after(decide_unmatched, PassFacts(board(), NOW, item_claims=claims, unmatched=tuple(items)), Plan()).items
    )


def contact(**differs: Any) -> Contact:
    return builders.contact(**{"monday_id": None} | differs)


def facts(item: Item | None = None, *, payload: dict[str, Any] | None = None, **differs: Any) -> ItemFacts:
    """An item with an address, quiet for an hour, about which nothing is known."""
    item = an_item() if item is None else item
    job = plain(SyncQueue, id=1, entity_type="contact", remote_id=item.id, causes=Cause.WEBHOOK, payload=payload or {})
    hour_ago = NOW - timedelta(hours=1)
    values = {"events": (arrival(hour_ago),), "new_record_id": uuid.UUID(int=99)}
    return ItemFacts(Claim(None, item.id, [job]), item, **values | differs)


def tombstone(**differs: Any) -> Tombstone:
    """The tombstone of a contact deleted a minute ago, whose item is checked next."""
    values = {"entity_type": "contact", "entity_id": uuid.UUID(int=1), "state": TombstoneState.WAITING, "id": 3}
    return plain(Tombstone, **values | {"data": {"name": "Ann"}, "deleted_at": NOW - timedelta(minutes=1)} | differs)


def ignored(**differs: Any) -> IgnoredItem:
    return plain(IgnoredItem, **{"entity_type": "contact", "item_id": "7", "reason": "Pat ignored it."} | differs)


def named(record: SyncedModel, **differs: Any) -> ItemFacts:
    """An item with this record's NPD ID."""
    return facts(an_item(npd_id=str(record.pk)), npd_id_record=record, **differs)


def act_of(plan: ItemPlan) -> str:
    return ASK if plan.candidates else plan.act


def short(plan: ItemPlan) -> tuple[Any, ...]:
    return plan.outcome, act_of(plan), plan.finding.reason if plan.finding else None


def first(record: Contact, item: Item) -> dict[str, Any]:
    """The facts about the record and its own item, in sync."""
    on, state = board(), new_sync_state("contact", record.pk)
    for field in on.mappings:
        cell = on.converter(field).cell_value(an_item().reading(field.column_id))
        state.base[field.key] = new_base(field, item.id, local_values(record, field), cell)
    return {
        "duplicate_of": RecordFacts(Claim(record.pk, None, []), record, state, builders.history()),
        "original_item": item,
    }


ENDED, WAITS, GOES_ON = Outcome.DONE, Outcome.DEFERRED, Outcome.OPEN
NOTHING, LINK, CREATE, ASK = "", "link", "create_record", "ask"
R = UnmatchedReason
LINKED, DISABLED, SECOND = contact(monday_id="6"), contact(sync_enabled=False), contact(name="Bob")
GONE = an_item(id="6", state="archived")

ROWS: dict[str, tuple[ItemFacts, tuple[Any, ...]]] = {
    "none matches: it becomes a record": (facts(), (ENDED, CREATE, None)),
    "one record without an item matches: its own pass links it": (
        facts(matching=(contact(),)),
        (WAITS, NOTHING, R.AMBIGUOUS),
    ),
    "that record's question offers it": (
        facts(matching=(SECOND,), asking_records=frozenset({SECOND.pk})),
        (ENDED, NOTHING, R.AMBIGUOUS),
    ),
    "two match: who is this?": (facts(matching=(contact(), SECOND)), (ENDED, ASK, R.AMBIGUOUS)),
    "one matches that has an item: who is this?": (facts(matching=(LINKED,)), (ENDED, ASK, R.AMBIGUOUS)),
    "one matches whose sync is off: who is this?": (facts(matching=(DISABLED,)), (ENDED, ASK, R.AMBIGUOUS)),
    "the NPD ID of a record without an item: linked": (named(contact()), (ENDED, LINK, None)),
    "the NPD ID counts before the match key": (named(contact(), matching=(LINKED,)), (ENDED, LINK, None)),
    "the NPD ID of a linked record: a duplicate": (named(LINKED), (GOES_ON, CLEAR_NPD_ID, R.DUPLICATE)),
    "the NPD ID of a linked record whose sync is off": (
        named(contact(monday_id="6", sync_enabled=False)),
        (ENDED, NOTHING, R.SYNC_OFF),
    ),
    "the NPD ID of a linked record that is left out": (
        named(contact(monday_id="6", sync_status="disabled")),
        (ENDED, NOTHING, R.LEFT_OUT),
    ),
    "the NPD ID of a record whose sync is off, without an item": (named(DISABLED), (ENDED, LINK, None)),
    "that record was unlinked": (named(DISABLED, is_of_unlinked=True), (ENDED, ASK, R.AMBIGUOUS)),
    "the NPD ID of a record that was unlinked, but syncs again": (
        named(contact(), is_of_unlinked=True),
        (ENDED, LINK, None),
    ),
    "its item was archived: taken": (named(LINKED, **first(LINKED, GONE)), (ENDED, LINK, None)),
    "what was edited in NPD alone is merged with the one that takes its place": (
        named(LINKED, **first(contact(pk=LINKED.pk, monday_id="6", role_title="Chair"), GONE)),
        (ENDED, LINK, None),
    ),
    "it was archived, but another key was typed here": (
        replace(named(LINKED, **first(LINKED, GONE)), item=an_item("bob@example.com", str(LINKED.pk))),
        (GOES_ON, CLEAR_NPD_ID, R.DUPLICATE),
    ),
    "somebody still types": (facts(events=(arrival(NOW - timedelta(seconds=4)),)), (WAITS, NOTHING, R.BEING_EDITED)),
    "a call about it is in the air": (facts(unconfirmed_until=NOW), (WAITS, NOTHING, R.UNCONFIRMED)),
    "its key can't be read": (facts(an_item(None)), (WAITS, NOTHING, R.KEY_UNREADABLE)),
    "its NPD ID can't be read": (facts(an_item(npd_id=None)), (WAITS, NOTHING, R.NPD_ID_UNREADABLE)),
    "no key yet": (facts(an_item(""), events=NEW), (WAITS, NOTHING, R.NO_KEY_YET)),
    "no key for five minutes": (facts(an_item("")), (ENDED, CREATE, None)),
    "no key, but it is wanted": (facts(an_item(""), events=NEW, payload={"create": True}), (ENDED, CREATE, None)),
    "a record of its own is wanted": (facts(matching=(LINKED,), payload={"as_new": True}), (ENDED, CREATE, None)),
    "it was archived": (facts(an_item(state="archived")), (ENDED, NOTHING, None)),
    "Monday doesn't show it": (replace(facts(), item=None), (ENDED, NOTHING, None)),
    "it is on another board": (facts(an_item(board_id="200")), (ENDED, NOTHING, None)),
    "another type's record has it": (facts(owner=plain(Organization, name="Acme")), (ENDED, NOTHING, None)),
    "a record got it meanwhile": (facts(owner=contact(monday_id="7")), (ENDED, NOTHING, None)),
    "it is ignored": (facts(ignored=ignored(left_alone=True)), (ENDED, NOTHING, None)),
    "its record was deleted long ago": (facts(ignored=ignored()), (ENDED, NOTHING, R.RECORD_DELETED)),
    "it is not this record's, as a person said": (
        facts(matching=(LINKED,), ignored=ignored(entity_id=LINKED.pk)),
        (ENDED, CREATE, None),
    ),
    "the chosen record was deleted": (facts(payload={"link_to": str(SECOND.pk)}), (ENDED, NOTHING, None)),
    "its name is a record's that has no item, and it has no key": (
        facts(an_item(""), namesakes=(contact(),)),
        (WAITS, NOTHING, R.AMBIGUOUS),
    ),
    "a question about its name is open": (
        facts(an_item(""), namesakes=(SECOND,), asking_records=frozenset({SECOND.pk})),
        (ENDED, NOTHING, R.AMBIGUOUS),
    ),
    "its name is a record's that has no item, and no key": (
        facts(namesakes=(contact(email=""),)),
        (WAITS, NOTHING, R.AMBIGUOUS),
    ),
    "its name is a record's, but both have a key": (facts(namesakes=(contact(),)), (ENDED, CREATE, None)),
    "its name is a record's that has an item, and one has no key": (
        facts(an_item(""), namesakes=(LINKED,)),
        (ENDED, ASK, R.AMBIGUOUS),
    ),
    "its name is a linked record's that has no key": (
        facts(namesakes=(contact(email="", monday_id="6"),)),
        (ENDED, ASK, R.AMBIGUOUS),
    ),
    "its name is a record's whose sync is off": (facts(an_item(""), namesakes=(DISABLED,)), (ENDED, CREATE, None)),
    "its name is a record's, before the wait for a key is over": (
        facts(an_item(""), namesakes=(LINKED,), events=NEW),
        (ENDED, ASK, R.AMBIGUOUS),
    ),
    "its name is a record's, though it wasn't in the set-up's plan": (
        facts(an_item(""), namesakes=(LINKED,), is_unplanned=True),
        (ENDED, ASK, R.AMBIGUOUS),
    ),
    "a record of its name, as a person said, is another": (
        facts(an_item(""), namesakes=(SECOND,), ignored=ignored(entity_id=SECOND.pk)),
        (ENDED, CREATE, None),
    ),
    "it is wanted, though its name is a record's": (
        facts(an_item(""), namesakes=(contact(),), payload={"create": True}),
        (ENDED, CREATE, None),
    ),
    "its name is too long for NPD": (facts(an_item(name="x" * 300)), (ENDED, NOTHING, R.INVALID)),
    "its name is required, and can't be read": (facts(an_item(is_name_known=False)), (ENDED, NOTHING, R.INVALID)),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_item_without_a_record(row: str) -> None:
    item, decision = ROWS[row]
    assert short(decide_item(item)) == decision


def test_of_a_second_item_the_first_answer_is_that_it_is_one_and_the_question_names_both_and_what_is_the_same() -> None:
    first, namesake = contact(name="Paul", monday_id="6"), contact(monday_id="6")
    for item, what in (
        (facts(matching=(first,)), "The item “Ann” has the email of “Paul”, which has another item."),
        (facts(an_item(""), namesakes=(namesake,)), "The item “Ann” has the name of “Ann”, which has another item."),
    ):
        question = decide_item(item).question
        assert question.what.startswith(what)
        assert [option["choose"] for option in question.data["options"]] == ["leave_alone", "new_record"]


def test_of_two_new_items_of_one_name_one_becomes_a_record_and_the_other_is_asked_about() -> None:
    items = [facts(an_item("", id=key), new_record_id=uuid.UUID(int=int(key))) for key in ("7", "8")]
    first, second = decide_items(items)
    assert (first.act, act_of(second), second.candidates) == (CREATE, ASK, (first.record,))


def test_an_item_with_only_a_name_is_asked_about_though_one_that_becomes_a_record_of_that_name_comes_later() -> None:
    items = [facts(an_item("", id="6"), events=NEW, new_record_id=uuid.UUID(int=6)), facts(an_item(id="8"))]
    made, asked = decide_items(items)
    assert (made.act, act_of(asked), asked.candidates) == (CREATE, ASK, (made.record,))


def test_a_new_record_says_whose_name_it_has() -> None:
    plan = decide_item(facts(an_item("other@example.com"), namesakes=(LINKED,)))
    assert plan.act == CREATE
    assert plan.sentence.params["namesakes"] == "“Ann”"


@pytest.mark.parametrize(
    ("item", "decision"),
    [
        (facts(), (ENDED, NOTHING, R.CREATION_OFF)),
        (facts(an_item(""), namesakes=(LINKED,)), (ENDED, NOTHING, R.NO_KEY)),
        (facts(an_item("")), (ENDED, NOTHING, R.NO_KEY)),
        (facts(payload={"create": True}), (ENDED, CREATE, None)),
        (facts(payload={"as_new": True}, matching=(LINKED,)), (ENDED, CREATE, None)),
        (facts(matching=(contact(),)), (WAITS, NOTHING, R.AMBIGUOUS)),
    ],
)
def test_where_the_board_makes_no_records_only_a_person_does(item: ItemFacts, decision: tuple[Any, ...]) -> None:
    assert short(decide_item(item, board(creates_records=False))) == decision


@pytest.mark.parametrize(
    ("records", "linkable"),
    [
        ((DISABLED,), [DISABLED]),
        ((contact(sync_direction="none"),), None),
        ((DISABLED, SECOND), [DISABLED, SECOND]),
        ((DISABLED, LINKED), [DISABLED]),
        ((LINKED, contact(monday_id="5", sync_enabled=False)), []),
    ],
)
def test_each_record_without_an_item_is_an_answer_also_one_whose_sync_is_off(
    records: tuple[Contact, ...], linkable: list[Contact] | None
) -> None:
    options = decide_item(facts(matching=records)).question.data["options"]
    links = [option for option in options if option["choose"] == LINK]
    expected = list(records) if linkable is None else linkable
    assert [option["value"] for option in links] == [str(record.pk) for record in expected]
    assert ["stays off" in option["effect"] for option in links] == [not record.may_sync for record in expected]


@pytest.mark.parametrize("record", [DISABLED, contact(sync_direction="none"), contact()])
def test_a_person_links_an_item_with_any_record_without_one(record: Contact) -> None:
    chosen = facts(chosen_record=record, payload={"link_to": str(record.pk)})
    assert short(decide_item(chosen)) == (ENDED, LINK, None)


def test_the_filter_leaves_items_and_records_out() -> None:
    buyers, sellers = (filtered("items", role, creates_records=True) for role in ("Boss", "Seller"))
    assert short(decide_item(facts(), buyers)) == (ENDED, CREATE, None)
    assert short(decide_item(facts(), sellers)) == (ENDED, NOTHING, R.LEFT_OUT)
    of_records = filtered("records", "Seller", creates_records=True)
    assert short(decide_item(facts(), of_records)) == (ENDED, NOTHING, R.LEFT_OUT)
    assert short(decide_item(facts(matching=(contact(),)), of_records)) == (ENDED, NOTHING, R.LEFT_OUT)
    assert short(decide_item(named(contact(role_title="Seller")), of_records)) == (ENDED, LINK, None)
    assert short(decide_item(named(contact()), of_records)) == (ENDED, NOTHING, R.LEFT_OUT)


def test_the_record_gets_the_items_values() -> None:
    plan = decide_item(facts())
    record = plan.record
    assert isinstance(record, Contact)
    assert (record.name, record.email, record.role_title, record.monday_id) == ("Ann", EMAIL, "Boss", "7")
    assert (record.pk, plan.sentence) == (uuid.UUID(int=99), "Created from the item “Ann” on the board.")


def test_a_new_record_takes_nothing_over_against_a_fields_direction() -> None:
    record = decide_item(facts(), board(mapping(direction="npd_to_monday"))).record
    assert isinstance(record, Contact)
    assert (record.email, record.role_title) == (EMAIL, "")


@pytest.mark.parametrize("related", [plain(Organization, name="Acme", address_country="SE"), "No organization …"])
def test_a_relation_is_taken_over_where_its_record_is_known(related: Organization | str) -> None:
    named_there, item = board(mapping("organization", column_id="org", converter="relation_name")), an_item()
    item = replace(item, values={**item.values, "org": Reading("org", "text", text="Acme", value="Acme")})
    records = {Reference(Organization, "name", "Acme"): () if isinstance(related, str) else (related,)}
    plan = decide_item(facts(item), named_there, related=records)
    assert isinstance(plan.record, Contact)
    assert plan.record.organization is (None if isinstance(related, str) else related)


DELETED = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("stone", "outcome", "is_woken", "moves"),
    [
        (tombstone(monday_id="7"), ENDED, True, None),
        (tombstone(monday_id=None), ENDED, True, TombstoneState.WAITING),
        (tombstone(monday_id="6"), WAITS, False, None),
        (tombstone(monday_id="6", state=TombstoneState.ARCHIVED), ENDED, True, TombstoneState.WAITING),
        (tombstone(monday_id="7", state=TombstoneState.ARCHIVED, settled_at=NOW), WAITS, False, None),
        (tombstone(monday_id="7", state=TombstoneState.KEPT), ENDED, False, None),
        (tombstone(monday_id="7", entity_type="organization"), ENDED, False, None),
    ],
    ids=[
        "the first item's pass decides",
        "it had none: this is its item",
        "its first item comes first",
        "its first item has left the board",
        "just archived: a stale read",
        "it stays on the board",
        "it was another type's, and was moved here",
    ],
)
def test_an_item_with_a_deleted_records_npd_id_makes_no_record(
    stone: Tombstone, outcome: Outcome, is_woken: bool, moves: TombstoneState | None
) -> None:
    plan = decide_item(facts(an_item(npd_id=str(DELETED)), tombstones=(stone,)))
    assert (plan.outcome, plan.act, plan.to_enqueue) == (outcome, NOTHING, (DELETED,) if is_woken else ())
    assert (plan.tombstone and (plan.tombstone.monday_id, plan.tombstone.state)) == (moves and ("7", moves))


def test_an_item_behind_a_question_about_a_deletion_is_looked_at_seldom() -> None:
    asked = tombstone(monday_id="6", state=TombstoneState.ASKED)
    plan = decide_item(facts(an_item(npd_id=str(DELETED)), tombstones=(asked,)))
    assert plan.ending.wait_seconds == 30 * 60


def test_a_deletion_that_this_pass_decided_is_not_decided_once_more() -> None:
    item = facts(an_item(npd_id=str(DELETED)), tombstones=(tombstone(monday_id="7"),))
    gone = deletion(contact(monday_id="7"))
    items = BatchItems(by_id={"7": an_item()})
    plan = decide_item(item, plan=Plan(deleted={gone.id: gone}), items=items)
    assert (plan.outcome, plan.to_enqueue) == (ENDED, ())


def test_an_unlinked_item_of_a_deleted_record_is_as_any_other() -> None:
    unlinked = tombstone(monday_id="7", state=TombstoneState.UNLINKED)
    assert decide_item(facts(tombstones=(unlinked,))).act == CREATE
    assert decide_item(facts(tombstones=(unlinked,), ignored=ignored(left_alone=True))).act == NOTHING


def test_an_item_that_is_gone_wakes_its_deleted_record() -> None:
    gone = facts(an_item(state="deleted"), tombstones=(tombstone(monday_id="7"),))
    plan = decide_item(gone)
    assert plan.to_enqueue == (DELETED,)
    assert plan.closing_reason == "The item “Ann” was deleted on Monday, so there is nothing to ask any more."
    settled = replace(gone, tombstones=(tombstone(monday_id="7", state=TombstoneState.KEPT),))
    assert decide_item(settled).to_enqueue == ()


@pytest.mark.parametrize("state", [TombstoneState.ARCHIVED, TombstoneState.KEPT])
@pytest.mark.parametrize("shown", ["archived", "active"])
def test_an_edit_that_came_late_is_checked_by_its_deleted_record(state: TombstoneState, shown: str) -> None:
    late = facts(
        an_item(state=shown),
        tombstones=(tombstone(monday_id="7", state=state),),
        events=(edit("Late", seconds=-3_600),),
    )
    assert decide_item(late).to_enqueue == (DELETED,)


# Items of one pass, one after another.


def second(**differs: Any) -> ItemFacts:
    return facts(an_item(id="8", name="Ann again"), **{"new_record_id": uuid.UUID(int=98)} | differs)


def acts(items: Sequence[ItemFacts]) -> list[str]:
    return [act_of(plan) for plan in decide_items(items)]


def test_a_later_item_sees_the_record_that_an_earlier_one_became() -> None:
    first, then = decide_items([facts(), second()])
    assert (act_of(first), act_of(then)) == (CREATE, ASK)
    assert then.candidates == (first.record,)
    assert then.record_ids == {uuid.UUID(int=99)}
    assert "Are they one contact?" in then.ending.detail


def test_an_edit_on_the_item_whose_place_it_takes_stays_in_the_history() -> None:
    edited = decide_item(named(LINKED, **first(LINKED, replace(GONE, name="Ann, edited"))))
    assert short(edited) == (ENDED, LINK, None)
    assert {label: line.values["before"] for label, line in edited.lines.items()} == {"Name": "Ann, edited"}
    assert not decide_item(named(LINKED, **first(LINKED, GONE))).lines


def test_of_two_items_that_could_take_a_place_the_later_one_waits_until_the_first_has_it() -> None:
    late = replace(second(), item=an_item(id="8", npd_id=str(LINKED.pk)))
    copies = [named(LINKED, **first(LINKED, GONE)), late]
    copies[1] = replace(copies[1], npd_id_record=LINKED, **first(LINKED, GONE))
    assert acts(copies) == [LINK, NOTHING]


def test_two_items_with_a_lost_npd_id_make_one_record_and_the_other_waits_until_it_is_there() -> None:
    lost = str(uuid.UUID(int=4))
    items = [facts(an_item(npd_id=lost), new_record_id=uuid.UUID(int=4))]
    items.append(replace(second(), item=an_item(id="8", npd_id=lost)))
    assert acts(items) == [CREATE, NOTHING]


def test_the_second_item_of_a_deletion_waits_for_the_first_of_the_same_pass() -> None:
    stone = tombstone(monday_id=None)
    items = [facts(an_item(npd_id=str(DELETED)), tombstones=(stone,))]
    items.append(replace(second(tombstones=(stone,)), item=an_item(id="8", npd_id=str(DELETED))))
    plans = decide_items(items)
    assert [plan.outcome for plan in plans] == [ENDED, WAITS]
    assert stone.monday_id is None


# What is checked again once the rows are locked.


FREE = contact()
BY_NPD_ID, ALONE = named(FREE), facts()
CHOSEN = facts(chosen_record=FREE, payload={"link_to": str(FREE.pk)})
AMBIGUOUS = facts(matching=(LINKED, SECOND))
REPLACING = named(LINKED, **first(LINKED, GONE))
LATE = facts(an_item(npd_id=str(DELETED)), tombstones=(tombstone(monday_id=None),))


def again(item: ItemFacts, **differs: Any) -> ItemPlan:
    """An item's plan, decided again after NPD's other rows changed to `differs`."""
    on = PassFacts(board(), NOW)
    return decided_again(on, unmatched_items.decide_item(on, item, Plan()), replace(item, **differs), Plan())


def saved(record: Contact, **differs: Any) -> Contact:
    return contact(pk=record.pk, **{"monday_id": record.monday_id, "name": record.name} | differs)


OVERTAKEN: dict[str, tuple[ItemFacts, dict[str, Any]]] = {
    "its record has another item": (BY_NPD_ID, {"npd_id_record": saved(FREE, monday_id="5")}),
    "its record was unlinked": (BY_NPD_ID, {"npd_id_record": saved(FREE, sync_enabled=False), "is_of_unlinked": True}),
    "another record got it": (BY_NPD_ID, {"owner": LINKED}),
    "somebody ignored it": (BY_NPD_ID, {"ignored": ignored()}),
    "one that was asked about is gone": (AMBIGUOUS, {"matching": (LINKED,)}),
    "the item that it replaces was replaced": (REPLACING, {"npd_id_record": saved(LINKED, monday_id="5")}),
    "the deleted record has an item": (LATE, {"tombstones": (tombstone(monday_id="5"),)}),
    "the deleted record is there again": (LATE, {"tombstones": ()}),
}


@pytest.mark.parametrize("row", OVERTAKEN)
def test_a_plan_that_was_overtaken_is_decided_anew(row: str) -> None:
    item, differs = OVERTAKEN[row]
    plan = again(item, **differs)
    assert (plan.ending.rounds, plan.ending.wait_seconds) == (1, 0)
    assert (plan.outcome, plan.act, plan.keeps_finding) == (WAITS, NOTHING, True)


def test_a_question_is_asked_about_the_records_as_they_are_once_locked() -> None:
    plan = again(AMBIGUOUS, matching=(LINKED, saved(SECOND, monday_id="5")))
    assert act_of(plan) == ASK
    assert plan.question.data["asks"] == "second_item"


def test_what_a_person_chose_is_said_to_be_impossible_where_it_is() -> None:
    plan = again(CHOSEN, chosen_record=saved(FREE, monday_id="5"))
    expected = (ENDED, NOTHING, "It could not be linked. “Ann” now has another item.")
    assert (plan.outcome, plan.act, plan.ending.detail) == expected


def test_what_the_database_takes_no_record_of_is_said_to_people_unless_it_has_one() -> None:
    plan = decide_item(ALONE)
    refused = after_rejection(board(), plan, "too long", is_there=False)
    assert short(refused) == (ENDED, NOTHING, R.DATABASE_REJECTED)
    assert after_rejection(board(), plan, "twice", is_there=True).ending.rounds == 1


@pytest.mark.parametrize("item", [an_item(), an_item("")])
def test_what_the_plan_had_no_new_record_for_waits_for_a_person(item: Item) -> None:
    unplanned = facts(item, is_unplanned=True)
    assert short(decide_item(unplanned)) == (ENDED, NOTHING, R.UNPLANNED)
    assert short(decide_item(replace(unplanned, npd_id_record=contact()))) == (ENDED, LINK, None)
    requested = replace(unplanned.claim, jobs=[plain(SyncQueue, payload={MAY_CREATE_KEY: True})])
    assert short(decide_item(replace(unplanned, claim=requested)))[1] is CREATE
