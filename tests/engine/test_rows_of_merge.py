"""Where the test of each row of the tables in merge.md about fields stands, and some of them in a world.

`ROWS` maps a row to its test: of the pure rule, or of what a world adds to it (answers, the history, other passes).
Rows about a record and its item are with the tests of deletes, archives and identity. A row whose test is gone, or
that nobody wrote one for, fails the last test here.
"""

import ast
from pathlib import Path
from typing import Any

import pytest

from npd.models import Contact
from sync.models import SyncQueue
from tests.admin import states
from tests.support.world import World

HERE = "tests/engine/test_rows_of_merge.py"
LOST, LOOPS, RULES = ("tests/engine/test_lost_updates.py", "tests/engine/test_loops.py", "tests/engine/test_rules.py")
FAILURES, COLUMNS = (f"tests/engine/test_{name}.py" for name in ("failures", "column_types"))
FIELDS, DECIDED_RULES, DECIDED_LOST = (f"tests/decide/test_{name}.py" for name in ("fields", "rules", "lost_updates"))
TABLE = "tests/merge/test_rows.py"
ROWS = {
    # A field, both ways
    "same, same: nothing": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "changed, same: push L": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "changed, same, ∅ clears the column": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "same, changed: pull R": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "same, changed, ∅ clears the field": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "same, changed, ∅ of a required field: held": (FIELDS, "test_what_can_not_be_written_is_blocked_with_its_reason"),
    "same, changed, refused by NPD's constraints: held": (
        FIELDS,
        "test_what_can_not_be_written_is_blocked_with_its_reason",
    ),
    "changed, changed, same: agreed": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "changed, changed, differ: the field's rule": (
        DECIDED_RULES,
        "test_a_side_that_wins_is_written_and_the_other_value_is_said_to_be_overridden",
    ),
    "no base, same: agreed": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, L = ∅: pull R": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, L = ∅ but left the old base while held: the rule": (
        TABLE,
        "test_a_field_emptied_in_npd_while_it_was_held_is_not_filled_from_monday_silently",
    ),
    "no base, R = ∅: push L": (TABLE, "test_a_field_both_ways_is_decided_by_its_row"),
    "no base, both, differ: the rule for first matches": (FIELDS, "test_without_a_base_what_differs_is_asked_about"),
    "a base of another item, column or version is no base": (
        FIELDS,
        "test_a_base_of_another_mapping_version_counts_as_none",
    ),
    # Rules
    "ask: conflict": (FIELDS, "test_what_both_sides_changed_differently_is_a_conflict_with_its_three_values"),
    "NPD wins: push; Monday wins: pull; the history keeps what was overridden": (
        "tests/undo/test_undo.py",
        "test_a_value_that_a_rule_has_overridden_can_be_taken_back",
    ),
    "newest: the later edit": (RULES, "test_by_the_rule_newest_mondays_later_edit_wins"),
    "newest: not a record's updated_at": (DECIDED_RULES, "test_by_the_rule_newest_the_newer_edit_wins"),
    "newest: within 5 seconds, ask": (DECIDED_RULES, "test_by_the_rule_newest_the_newer_edit_wins"),
    "newest: a time not known, ask": (DECIDED_RULES, "test_by_the_rule_newest_the_newer_edit_wins"),
    "union: base plus added minus removed": (DECIDED_RULES, "test_lists_are_united_on_both_sides"),
    "union: no base, both": (DECIDED_RULES, "test_lists_are_united_on_both_sides"),
    "union: an element that the column can't carry is held": (
        DECIDED_RULES,
        "test_an_element_that_the_column_cant_carry_is_held",
    ),
    # A field, one way
    "one way to Monday: mirrored, what it replaced in the history": (
        FIELDS,
        "test_one_way_the_target_s_own_edit_is_said_to_be_overridden",
    ),
    "one way to NPD: mirrored, what it replaced in the history": (
        FIELDS,
        "test_one_way_the_target_s_own_edit_is_said_to_be_overridden",
    ),
    "the record's and the mapping's direction both have to allow a way": (FIELDS, "test_a_field_is_decided_by_its_row"),
    "none and disabled look at nothing": ("tests/decide/test_sides.py", "test_a_pass_without_a_call"),
    "but the one push by name": (
        "tests/api/test_push.py",
        "test_a_record_whose_sync_is_off_is_pushed_once_because_a_person_asked",
    ),
    "a direction is not overridden": (HERE, "test_a_direction_is_not_overridden_by_a_persons_push"),
    "the NPD ID column is bookkeeping": (FIELDS, "test_an_item_without_the_npd_id_gets_it_whatever_the_directions_say"),
    # Canonical form, and what is unknown
    "equal in canonical form: neither side is rewritten": (FIELDS, "test_a_number_in_another_form_is_the_same_number"),
    "None, empty and white space are ∅": (
        "tests/connector/test_converters.py",
        "test_nothing_an_empty_text_and_whitespace_are_all_empty",
    ),
    "a push replaces only the mapped part of a cell": (
        COLUMNS,
        "test_a_time_that_monday_has_beside_the_date_stays_there",
    ),
    "an unknown side is not decided and keeps its base": (
        FIELDS,
        "test_what_can_not_be_written_is_blocked_with_its_reason",
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
    "for a pull (what NPD stored, what was read)": (
        "tests/merge/test_settled_field.py",
        "test_a_pull_writes_the_record_and_moves_the_base",
    ),
    "Monday altered what we sent: shown, pending, nothing sent again": (
        "tests/merge/test_settled_field.py",
        "test_what_monday_made_of_a_value_is_said",
    ),
    "an event is ours: value, previous value, user": (LOST, "test_our_own_echo_is_no_lost_update_and_costs_no_call"),
    "an answer that equals an event that isn't ours is an edit": (
        LOST,
        "test_an_answer_that_shows_an_edit_is_taken_for_that_edit_once_its_event_tells",
    ),
    "a relation that a create's answer shows empty is sent once more": (
        "tests/engine/test_relations.py",
        "test_a_relation_that_a_create_dropped_is_sent_once_more",
    ),
    "an intent without an answer: R as sent, or as read": (
        FAILURES,
        "test_a_change_whose_answer_was_lost_is_found_out_about",
    ),
    "an intent without an answer: an L that moved on is pushed": (
        FIELDS,
        "test_a_value_that_an_intent_sent_is_our_own_write_and_what_npd_says_since_is_pushed",
    ),
    "an intent without an answer: anything else is a person's": (
        FIELDS,
        "test_a_value_that_no_intent_sent_is_merged_against_the_old_base",
    ),
    "a late landing is known as ours": (FIELDS, "test_a_write_that_landed_late_is_the_base"),
    "unless an event names another user": (
        "tests/decide/test_unconfirmed_writes.py",
        "test_unless_an_event_names_another_user",
    ),
    "a local save during the call keeps its row": (HERE, "test_a_save_during_the_call_is_seen_by_the_next_look"),
    "lost update: our event's previous value was not read": (DECIDED_LOST, "test_what_our_writes_went_over"),
    "lost update: a value nobody saw, older than our write": (DECIDED_LOST, "test_what_our_writes_went_over"),
    "lost update: followed by another such event before it": (DECIDED_LOST, "test_what_our_writes_went_over"),
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
        FIELDS,
        "test_a_choice_on_a_lost_value_is_outdated_when_a_side_left_what_stands",
    ),
}


def sides(world: World, contact: Contact, key: str = "role_title") -> tuple[Any, Any]:
    contact.refresh_from_db()
    return getattr(contact, key), world.values(contact)[key]


def npd(contact: Contact, value: str, key: str = "role_title") -> None:
    Contact.objects.filter(pk=contact.pk).update(**{key: value})


# --- directions -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_direction_is_not_overridden_by_a_persons_push() -> None:
    from sync.operations.record_requests import push_record

    states.boards()
    contact = states.synced("Ann", "70", sync_direction="monday_to_npd")
    told = push_record(contact, by="dora")
    assert (told.triggered, bool(told.message)) == (False, True)
    assert not SyncQueue.objects.filter(entity_id=contact.pk).exists()


# --- after a write --------------------------------------------------------------------------------------------------


def test_a_save_during_the_call_is_seen_by_the_next_look(world: World) -> None:
    contact = world.linked(role_title="Old")
    world.meanwhile(lambda: npd(contact, "Second"), before="mutation")
    world.save(contact, role_title="First")
    assert (sides(world, contact), world.status(contact)) == (("Second", "Second"), "synced")


# --- every row has its test -----------------------------------------------------------------------------------------


def test_every_row_has_a_test_of_its_own() -> None:
    root, found = Path(__file__).resolve().parents[2], set[tuple[str, str]]()
    for path in {path for path, _ in ROWS.values()}:
        tree = ast.parse((root / path).read_text())
        found |= {(path, node.name) for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {row for row, test in ROWS.items() if test not in found} == set()
