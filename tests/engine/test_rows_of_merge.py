"""The rows of the tables in merge.md about fields, each carried out on both sides, and where the test of each stands.

`ROWS` maps a row to the test named after it; rows about a record and its item are with the tests of deletes,
archives and identity. A row whose test is gone, or that nobody wrote one for, fails the last test here.
"""

import ast
from pathlib import Path
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import Decision, FieldMapping, SyncMetadata
from tests.support.world import World

HERE = "tests/engine/test_rows_of_merge.py"
LOST, LOOPS, RULES = ("tests/engine/test_lost_updates.py", "tests/engine/test_loops.py", "tests/engine/test_rules.py")
FAILURES, COLUMNS, PUSH, PULL = (
    f"tests/engine/test_{name}.py" for name in ("failures", "column_types", "push", "pull")
)
TABLE = "tests/merge/test_rows.py"
ROWS = {
    # A field, both ways
    "same, same: nothing": (HERE, "test_same_and_same_nothing"),
    "changed, same: push L": (PUSH, "test_only_the_field_that_changed_is_written"),
    "changed, same, ∅ clears the column": (PUSH, "test_a_field_emptied_in_npd_is_cleared_on_the_board"),
    "same, changed: pull R": (PULL, "test_an_edit_on_the_board_comes_back"),
    "same, changed, ∅ clears the field": (PULL, "test_a_cell_emptied_on_the_board_empties_the_field"),
    "same, changed, ∅ of a required field: held": (HERE, "test_a_required_field_emptied_there_is_held"),
    "same, changed, refused by NPD's constraints: held": (
        PULL,
        "test_a_value_that_npd_cannot_hold_is_held_and_the_others_flow",
    ),
    "changed, changed, same: agreed": (PULL, "test_the_same_change_on_both_sides_is_agreed_without_a_write"),
    "changed, changed, differ: the field's rule": (HERE, "test_changed_on_both_sides_and_differ_the_rule"),
    "no base, same: agreed": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, L = ∅: pull R": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, L = ∅ but left the old base while held: the rule": (
        TABLE,
        "test_a_field_emptied_in_npd_while_it_was_held_is_not_filled_from_monday_silently",
    ),
    "no base, R = ∅: push L": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, both, differ: the rule for first matches": (
        HERE,
        "test_no_base_and_both_differ_the_rule_for_first_matches",
    ),
    "a base of another item, column or version is no base": (HERE, "test_a_base_of_another_mapping_version_is_no_base"),
    # Rules
    "ask: conflict": (HERE, "test_changed_on_both_sides_and_differ_the_rule"),
    "NPD wins: push; Monday wins: pull; the history keeps what was overridden": (
        RULES,
        "test_what_a_rule_overrides_goes_to_the_history_with_what_takes_it_back",
    ),
    "newest: the later edit": (RULES, "test_by_the_rule_newest_mondays_later_edit_wins"),
    "newest: not a record's updated_at": (RULES, "test_an_edit_of_another_field_makes_this_one_no_newer"),
    "newest: within 5 seconds, ask": (RULES, "test_edits_within_five_seconds_are_asked_about"),
    "newest: a time not known, ask": (
        RULES,
        "test_without_an_event_nobody_knows_when_monday_was_edited_so_a_person_is_asked",
    ),
    "union: base plus added minus removed": (
        RULES,
        "test_lists_are_united_what_either_added_joins_and_what_either_removed_goes",
    ),
    "union: no base, both": (RULES, "test_without_a_base_lists_are_both"),
    "union: an element that the column can't carry is held": (
        RULES,
        "test_an_element_that_the_column_cant_carry_is_held_and_nothing_is_lost",
    ),
    # A field, one way
    "one way to Monday: mirrored, what it replaced in the history": (
        PULL,
        "test_one_way_to_monday_writes_an_edit_on_the_board_over_and_keeps_it_in_the_history",
    ),
    "one way to NPD: mirrored, what it replaced in the history": (HERE, "test_one_way_to_npd_is_mirrored"),
    "the record's and the mapping's direction both have to allow a way": (
        HERE,
        "test_both_directions_have_to_allow_a_way",
    ),
    "none and disabled look at nothing": (HERE, "test_none_and_disabled_look_at_nothing"),
    "but the one push by name": (
        "tests/api/test_push.py",
        "test_a_record_whose_sync_is_off_is_pushed_once_because_a_person_asked",
    ),
    "a direction is not overridden": (HERE, "test_a_direction_is_not_overridden_by_a_persons_push"),
    "the NPD ID column is bookkeeping": (HERE, "test_the_npd_id_is_written_whatever_the_mapping_directions_say"),
    # Canonical form, and what is unknown
    "equal in canonical form: neither side is rewritten": (
        PUSH,
        "test_a_value_that_differs_in_form_only_is_not_written",
    ),
    "None, empty and white space are ∅": (
        "tests/connector/test_converters.py",
        "test_nothing_an_empty_text_and_whitespace_are_all_empty",
    ),
    "a push replaces only the mapped part of a cell": (
        COLUMNS,
        "test_a_time_that_monday_has_beside_the_date_stays_there",
    ),
    "an unknown side is not decided and keeps its base": (
        HERE,
        "test_a_field_with_an_unknown_side_keeps_its_base_and_gives_its_reason",
    ),
    "a read within two minutes of our write that shows what it replaced is read again": (
        FAILURES,
        "test_a_read_that_shows_what_our_write_replaced_is_read_once_more",
    ),
    # After a write
    "the pair becomes (what was sent, what Monday answered)": (
        "tests/merge/test_settled_field.py",
        "test_a_push_that_was_answered_moves_the_base_to_what_was_sent_and_answered",
    ),
    "for a pull (what NPD stored, what was read)": (HERE, "test_after_a_pull_the_base_is_what_was_stored_and_read"),
    "Monday altered what we sent: shown, pending, nothing sent again": (
        HERE,
        "test_what_monday_altered_is_shown_and_not_sent_again",
    ),
    "an event is ours: value, previous value, user": (LOST, "test_our_own_echo_is_no_lost_update_and_costs_no_call"),
    "an answer that equals an event that isn't ours is an edit": (
        LOST,
        "test_an_answer_that_shows_an_edit_is_taken_for_that_edit_once_its_event_tells",
    ),
    "an intent without an answer: R as sent, or as read": (
        FAILURES,
        "test_a_change_whose_answer_was_lost_is_found_out_about",
    ),
    "an intent without an answer: an L that moved on is pushed": (
        FAILURES,
        "test_an_edit_in_npd_after_a_lost_answer_is_pushed_and_is_no_conflict",
    ),
    "an intent without an answer: anything else is a person's": (
        FAILURES,
        "test_an_edit_on_the_board_after_a_lost_answer_is_merged_against_the_old_base",
    ),
    "a late landing is known as ours": (LOST, "test_a_write_that_lands_late_is_known_as_ours"),
    "unless an event names another user": (
        "tests/decide/test_unconfirmed_writes.py",
        "test_unless_an_event_names_another_user",
    ),
    "a local save during the call keeps its row": (HERE, "test_a_save_during_the_call_is_seen_by_the_next_look"),
    "lost update: our event's previous value was not read": (LOST, "test_one_of_the_two_events_is_enough"),
    "lost update: a value nobody saw, older than our write": (LOST, "test_one_of_the_two_events_is_enough"),
    "lost update: followed by another such event before it": (
        "tests/decide/test_lost_updates.py",
        "test_what_our_writes_went_over",
    ),
    "lost update: one way, or where NPD wins, into the history": (
        LOST,
        "test_where_npd_wins_the_lost_value_goes_to_the_history_from_where_it_can_be_taken_back",
    ),
    "the same field rewritten n times within an hour: throttle_count and shown": (
        LOOPS,
        "test_a_field_that_is_rewritten_after_each_write_is_damped_before_it_burns_the_allowance",
    ),
    # Conflicts of the kind "overwritten"
    "overwritten: keeps its values until a person settles it": (
        LOST,
        "test_a_conflict_about_a_lost_edit_outlives_further_looks_and_replays",
    ),
    "overwritten: npd keeps it, monday takes it back": (LOST, "test_a_choice_about_a_lost_edit_stands_on_both_sides"),
    "overwritten: stale only when either side left what stands": (
        LOST,
        "test_a_choice_about_a_lost_edit_is_stale_when_a_side_left_what_stands",
    ),
}


def sides(world: World, contact: Contact, key: str = "role_title") -> tuple[Any, Any]:
    contact.refresh_from_db()
    return getattr(contact, key), world.values(contact)[key]


def npd(contact: Contact, value: str, key: str = "role_title") -> None:
    Contact.objects.filter(pk=contact.pk).update(**{key: value})


def base_of(world: World, contact: Contact, key: str = "role_title") -> tuple[Any, Any]:
    base = world.ledger(contact).base[key]
    return base["local"][key], base["remote"]


def without_base(world: World, here: str, there: str) -> Contact:
    """A linked contact whose role has no base that counts."""
    contact = world.linked(role_title="x")
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(base={})
    npd(contact, here)
    if there != "x":
        world.edit(contact, "role_title", there)
    return contact


def writes(world: World) -> int:
    return world.calls("mutation")


# --- a field, both ways ---------------------------------------------------------------------------------------------


def test_same_and_same_nothing(world: World) -> None:
    contact = world.linked(role_title="Old")
    before = writes(world)
    world.look(contact)
    assert (sides(world, contact), writes(world)) == (("Old", "Old"), before)


def test_a_required_field_emptied_there_is_held(world: World) -> None:
    contact = world.linked(role_title="Old")
    FieldMapping.objects.filter(key="role_title").update(required=True)
    world.edit(contact, "role_title", "")
    world.look(contact)
    assert (sides(world, contact), world.status(contact)) == (("Old", ""), "pending")
    assert "required in NPD" in world.ledger(contact).blocked_fields["role_title"]["reason"]


def test_changed_on_both_sides_and_differ_the_rule(world: World) -> None:
    """That of asking; tests/engine/test_rules.py has the others."""
    contact = world.linked(role_title="Old")
    npd(contact, "Ours")
    world.edit(contact, "role_title", "Theirs")
    world.work()
    assert (sides(world, contact), world.status(contact)) == (("Ours", "Theirs"), "conflict")


@pytest.mark.parametrize(("rule", "stands"), [("ask", ("Here", "There")), ("monday_wins", ("There", "There"))])
def test_no_base_and_both_differ_the_rule_for_first_matches(world: World, rule: str, stands: tuple[str, str]) -> None:
    contact = without_base(world, "Here", "There")
    FieldMapping.objects.filter(key="role_title").update(first_match=rule)
    world.look(contact)
    assert sides(world, contact) == stands


def test_a_base_of_another_mapping_version_is_no_base(world: World) -> None:
    """A re-mapped column can't flood the records: two values that differ are asked about, not pushed or pulled."""
    contact = world.linked(role_title="Old")
    FieldMapping.objects.filter(key="role_title").update(version=2)
    world.edit(contact, "role_title", "There")
    world.look(contact)
    assert (sides(world, contact), world.status(contact)) == (("Old", "There"), "conflict")


# --- a field, one way -----------------------------------------------------------------------------------------------


def overridden(contact: Contact) -> Decision:
    return Decision.objects.filter(entity_id=contact.pk, key="role_title", values__overridden=True).latest("id")


def test_one_way_to_npd_is_mirrored(world: World) -> None:
    contact = world.linked(role_title="Theirs")
    FieldMapping.objects.filter(key="role_title").update(direction="monday_to_npd")
    npd(contact, "Ours")
    before = writes(world)
    world.work()
    assert (sides(world, contact), writes(world)) == (("Theirs", "Theirs"), before)
    assert overridden(contact).values["before"] == "Ours"


@pytest.mark.parametrize(
    ("of_record", "of_mapping"), [("npd_to_monday", "monday_to_npd"), ("monday_to_npd", "npd_to_monday")]
)
def test_both_directions_have_to_allow_a_way(world: World, of_record: str, of_mapping: str) -> None:
    contact = world.linked(role_title="Old")
    FieldMapping.objects.filter(key="role_title").update(direction=of_mapping)
    Contact.objects.filter(pk=contact.pk).update(role_title="Ours", sync_direction=of_record)
    world.edit(contact, "role_title", "Theirs")
    world.work()
    assert sides(world, contact) == ("Ours", "Theirs")


@pytest.mark.parametrize("how", [{"sync_enabled": False}, {"sync_direction": "none"}])
def test_none_and_disabled_look_at_nothing(world: World, how: dict[str, Any]) -> None:
    contact = world.linked(role_title="Old")
    Contact.objects.filter(pk=contact.pk).update(role_title="Ours", **how)
    world.edit(contact, "role_title", "Theirs")
    before = world.calls()
    world.hear()
    assert world.calls() == before
    assert (sides(world, contact), world.status(contact)) == (("Ours", "Theirs"), "disabled")


def test_a_direction_is_not_overridden_by_a_persons_push(world: World) -> None:
    from sync.operations.record_requests import push_record

    contact = world.linked(role_title="Theirs")
    Contact.objects.filter(pk=contact.pk).update(sync_direction="monday_to_npd")
    contact.refresh_from_db()
    before = writes(world)
    told = push_record(contact, by="dora")
    world.work()
    assert (told.triggered, bool(told.message), writes(world)) == (False, True, before)


def test_the_npd_id_is_written_whatever_the_mapping_directions_say(world: World) -> None:
    FieldMapping.objects.exclude(column_id="name").update(direction="monday_to_npd")
    contact = world.contact(email="ann@example.com")
    world.work()
    [item] = world.sandbox.items()
    contact.refresh_from_db()
    assert (item["id"], str(contact.pk) in item["values"].values()) == (contact.monday_id, True)


# --- canonical form, and what is unknown ----------------------------------------------------------------------------


def test_a_field_with_an_unknown_side_keeps_its_base_and_gives_its_reason(world: World) -> None:
    contact = world.linked(role_title="Old", notes="n")
    FieldMapping.objects.filter(key="role_title").update(column_id="a_column_that_nobody_has")
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(
        base=world.ledger(contact).base
        | {"role_title": world.ledger(contact).base["role_title"] | {"column": "a_column_that_nobody_has"}}
    )
    before = base_of(world, contact)
    world.save(contact, role_title="New", notes="changed too")
    assert (base_of(world, contact), world.values(contact)["notes"]) == (before, "changed too")
    assert world.ledger(contact).blocked_fields["role_title"]["reason"]
    assert world.status(contact) == "pending"


# --- after a write --------------------------------------------------------------------------------------------------


def test_after_a_pull_the_base_is_what_was_stored_and_read(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.edit(contact, "role_title", "  New  ")
    world.look(contact)
    base = world.ledger(contact).base["role_title"]
    assert (base["local"], base["remote"].strip()) == ({"role_title": "New"}, "New")


def test_what_monday_altered_is_shown_and_not_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Monday makes something else of what it is sent, in the answer and from then on."""
    from sync.connectors.monday.columns.text import TextConverter

    contact = world.linked(role_title="Old")
    monkeypatch.setattr(TextConverter, "to_remote", lambda self, raw, existing: str(next(iter(raw.values()))).upper())
    npd(contact, "New")
    world.work()
    assert "Monday made “NEW” of “New”" in world.ledger(contact).altered["role_title"]["reason"]
    assert (sides(world, contact), world.status(contact)) == (("New", "NEW"), "pending")
    before = writes(world)
    world.hear()
    world.look(contact)
    assert (sides(world, contact), writes(world)) == (("New", "NEW"), before)
    assert not SyncConflict.objects.exists()


def test_a_save_during_the_call_is_seen_by_the_next_look(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.meanwhile(lambda: npd(contact, "Second"), before="mutation")
    world.save(contact, role_title="First")
    assert (sides(world, contact), world.status(contact)) == (("Second", "Second"), "synced")


# --- every row has its test -----------------------------------------------------------------------------------------


def _tests_in(path: str) -> set[str]:
    root = Path(__file__).resolve().parents[2]
    tree = ast.parse((root / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test_of_its_own(row: str) -> None:
    path, name = ROWS[row]
    assert name in _tests_in(path)
