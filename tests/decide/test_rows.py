"""The test of each row of docs/reference/merge.md; for what a pass decides, a test of `decide`.

`ROWS` quotes the page by section. A row, rule or paragraph without a test fails here; so does a quote that has left the
page, or a missing test. What rules can't decide (answers, locks) is tested elsewhere.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/reference/merge.md"
DECIDE = {"tests/decide", "tests/merge"}
# Test files outside tests/decide/test_*.py.
PLACES = {
    "another_board": "tests/wizard/test_another_board.py",
    "boards_had": "tests/setup/test_boards_that_people_have.py",
    "converters": "tests/connector/test_converters.py",
    "odd_answers": "tests/reports/test_odd_answers.py",
    "unlink": "tests/lifecycle/test_unlink.py",
    "gaps": "tests/sweeps/test_gaps.py",
    "keys": "tests/reports/test_found_by_key.py",
    "restricted": "tests/reports/test_restricted.py",
    "writes_down": "tests/reports/test_writes_down.py",
    "duplicates_of": "tests/lifecycle/test_duplicates.py",
    "desk": "tests/conflicts/test_desk.py",
    "push": "tests/api/test_push.py",
    "settled": "tests/merge/test_settled_field.py",
}

OF_ITS_ROW, BLOCKED = "fields.field_is_decided_by_its_row", "fields.what_can_not_be_written_is_blocked_with_its_reason"
LOST = "lost_updates.what_our_writes_went_over"
NEW_ITEM, FILTERED = "unmatched.an_item_without_a_record", "filter.an_item_is_weighed_by_what_it_says"
PULLS, WITHOUT_CALL = (
    "filter.a_pair_that_leaves_takes_over_what_monday_says_and_sends_nothing",
    "small_rules.a_pass_without_a_call",
)
CHOICE = "fields.choice_that_holds_is_applied"
LEFT_OUT = "filter.a_record_that_fails_is_left_out_with_one_line_in_its_history"
ONE_WAY = "fields.one_way_the_target_s_own_edit_is_said_to_be_overridden"

ROWS: dict[str, list[tuple[str, str]]] = {
    "What is decided in every case": [
        ("The tests of the rows", "rows.every_row_of_the_page_has_a_test"),
        ("column or mapping version counts as none", "fields.a_base_of_another_mapping_version_counts_as_none"),
    ],
    "Canonical form and equality": [
        ("**The canonical form** is what is compared", "keys.a_number_in_two_forms_comes_to_rest"),
        ("**The match key** is what finds", "keys.a_person_is_found_by_an_address_in_another_form"),
        ("Neither side is rewritten for form alone", "fields.a_number_in_another_form_is_the_same_number"),
        ('`None`, `""` and whitespace are ∅', "converters.nothing_an_empty_text_and_whitespace_are_all_empty"),
        ("A field with an unknown side is not decided", BLOCKED),
        ("a removed item leaves it so", "fields.a_cell_that_a_removed_item_left_empty_was_emptied_by_nobody"),
        ("doesn't count", "odd_answers.a_connected_column_that_also_names_an_item_that_people_do_not_see"),
        ("without a visible character", "converters.a_name_without_a_visible_character_is_empty_on_both_sides"),
    ],
    "A read that lags behind": [
        ("what it lacks", "gaps.a_listing_that_is_too_short_two_nights_in_a_row_is_the_comparisons_problem"),
        ("once an hour from an hour before", "gaps.once_an_hour_the_log_is_read_an_hour_back"),
        ("A cell is *stale* for ten minutes", "read_lag.read_that_contradicts_the_newest_event_is_stale"),
        ("is over, whatever a read shows", "read_lag.an_edit_that_we_wrote_over_is_over_whatever_is_read"),
        ("The record is `pending`", "read_lag.a_cell_that_is_set_aside_decides_nothing_and_makes_its_record_pending"),
        (" | ", "read_lag.every_combination_of_shown_reported_base_and_edit_is_decided_by_its_row"),
        ("The table has what", "read_lag.every_combination_of_shown_reported_base_and_edit_is_decided_by_its_row"),
    ],
    "A field, both ways": [
        ("same | same | – | nothing", OF_ITS_ROW),
        ("changed | same | – | push L", OF_ITS_ROW),
        ("same | changed | – | pull R", OF_ITS_ROW),
        ("a field that NPD requires, or a value that its constraints refuse, is blocked", BLOCKED),
        ("changed | changed | same | agreed", OF_ITS_ROW),
        ("changed | changed | differ | the field's rule", "rules.the_winning_side_is_written_and_the_other_overridden"),
        ("no base | | same | agreed", OF_ITS_ROW),
        ("no base | | L = ∅ | pull R", OF_ITS_ROW),
        ("counts as none now:", "fields.a_field_that_npd_emptied_while_it_was_held_is_not_filled_from_a_new_column"),
        ("no base | | R = ∅ | push L", OF_ITS_ROW),
        ("no base | | both, differ | the rule for first matches", "fields.without_a_base_what_differs_is_asked_about"),
        ("(default) → conflict", "fields.what_both_sides_changed_differently_is_a_conflict_with_its_three_values"),
        ("**NPD wins** → push", "rules.the_winning_side_is_written_and_the_other_overridden"),
        ("**Monday wins** → pull", "rules.the_winning_side_is_written_and_the_other_overridden"),
        ("**newest** → by this field's edit time", "rules.by_the_rule_newest_the_newer_edit_wins"),
        ("**union** (lists; of a text it asks)", "rules.a_text_that_is_no_list_is_asked_about_under_the_rule_union"),
        ("→ base plus what either side added", "rules.lists_are_united_on_both_sides"),
        ("an element that the column can't carry (a comma) is", "rules.an_element_that_the_column_cant_carry_is_held"),
    ],
    "A field, one way": [
        ("it is written again in the next pass, and what it replaced goes to the history", ONE_WAY),
        (
            "the pair is taken as it is",
            "fields.one_way_from_monday_an_organization_without_an_item_stays_where_it_was_agreed_on_with_an_empty_cell",
        ),
        ("the mapping's direction both have to allow a way", OF_ITS_ROW),
        ("Nothing is ever written against a direction", "changes.changed_setting_leaves_it_to_the_next_pass"),
        ("bookkeeping", "fields.an_item_without_the_npd_id_gets_it_whatever_the_directions_say"),
        ("`none` and disabled read nothing", WITHOUT_CALL),
        ("the one push", "fields.a_record_without_sync_that_is_pushed_by_name_sends_what_npd_changed_and_nothing_else"),
        ("a direction is not overridden", "push.against_its_direction_nothing_is_sent_and_through_a_filter_what_fits"),
    ],
    "A cell that nobody emptied": [
        ("Monday drops cells", "emptied_cells.it_is_no_reason_for_the_filter_to_leave_a_pair_out"),
        ("the field's newest event says ∅, or can't be read", "emptied_cells.an_empty_cell"),
        ("no such word, and the item was off its board", "emptied_cells.an_empty_cell"),
        ("neither | unknown and `pending`", "emptied_cells.an_empty_cell"),
        ("if the log covers the time since the base", "emptied_cells.an_empty_cell"),
        ("and the log doesn't cover it", "emptied_cells.an_empty_cell"),
        ("neither, connected items", "emptied_cells.connected_items_that_are_shown_as_none"),
        ("or one way from Monday", "emptied_cells.one_way_from_monday_a_person_is_asked"),
        ("*Fill in again*", "emptied_cells.beyond_the_guard_a_person_is_asked_and_followed"),
    ],
    "A record and its item": [
        ("there, never linked | not known", "identity.one_free_hit_is_linked"),
        ("one free hit → link", "identity.one_free_hit_is_linked"),
        ("several, or a hit linked elsewhere", "identity.several_hits_are_asked_about"),
        ("or a hit linked elsewhere", "identity.a_hit_linked_elsewhere_is_asked_about"),
        ("none → create the item", "identity.none_the_item_is_created"),
        ("none found, but items", "identity.a_name_on_an_item_is_asked_about_where_a_key_is_missing"),
        ("whichever side is new", NEW_ITEM),
        ("may be for all", "boards_had.nobody_is_made_twice_on_a_board_where_few_emails_are_filled_in"),
        ("what can be recognized is linked", "boards_had.it_ends_once_each_item_is_filled_in_archived_or_ignored"),
        ("another board was chosen", "identity.one_free_hit_is_linked"),
        ("the former board stays", "another_board.a_duplicated_board_is_linked_by_npd_id_and_the_first_one_stays"),
        ("is chosen again", "another_board.back_on_the_first_board_the_plans_rule_decides_what_differs"),
        ("had no new item for it", "identity.what_the_plan_had_no_new_item_for_is_asked_about"),
        ("had no new record for it", "unmatched.what_the_plan_had_no_new_record_for_waits_for_a_person"),
        ("found, on a board", "identity.none_on_a_board_that_holds_creates_nothing_is_created_until_a_person_wants_it"),
        ("of several with one key,", "identity.the_oldest_of_one_key_gets_a_new_item_and_the_others_find_it_next_pass"),
        ("none | there, never linked", NEW_ITEM),
        ("if the board link allows", "unmatched.where_the_board_makes_no_records_only_a_person_does"),
        ('"same person?"', "identity.same_person"),
        ("there, linked | a second item bears its NPD ID", "duplicates.what_is_said_of_it"),
        ("ours and untouched", "duplicates.whose_the_second_item_is"),
        ("still says what was sent", "duplicates.ours_is_archived_where_the_clearing_shows_it_untouched"),
        ("while the record's own item is on", "given_once.our_copy_is_archived_only_where_the_record_has_its_own_item"),
        ("one with its match key takes its place", NEW_ITEM),
        ("you are asked about the removed one first", NEW_ITEM),
        (
            "and a question is open whose item it is",
            "given_once.a_copy_is_not_archived_if_it_was_edited_or_is_the_records_last_item_on_the_board",
        ),
        ("question ends with its cause", "duplicates_of.a_question_ends_when_its_two_no_longer_look_the_same"),
        ("there, its sync off | an item bears its NPD ID", NEW_ITEM),
        ("none | archived, deleted, or not returned when asked by id", NEW_ITEM),
        ("there, as the base | archived or deleted", "removed_items.base_whose_item_is_gone_goes_by_policy"),
        ("since the base | archived", "removed_items.there_changed_since_the_base_is_asked_about_whatever_the_policy"),
        ("value that Monday never", "removed_items.a_value_that_never_agreed_and_that_monday_never_got_is_asked_about"),
        ("and a cell that can't be read", "removed_items.an_unshown_value_of_a_column_is_asked_about_but_is_no_edit"),
        ("there, as the base, but with an open conflict", "removed_items.options_and_policies_are_those_that_are_left"),
        ("who needs it is looked up once more", "changes.a_policy_deletes_only_what_nobody_would_miss"),
        ("an edit that our", "removed_items.so_is_an_edit_that_our_write_went_over_where_a_person_is_asked_about_it"),
        ("item removed each time", "removed_items.an_item_that_is_removed_each_time_it_is_made_again_is_asked_about"),
        ("there, and a person presses *Create", "removed_items.a_new_item_that_a_person_asked_for_is_made_at_once"),
        ("edited on the old one and never", "removed_items.of_an_edit_that_nobody_was_shown_the_history_has_the_value"),
        ("there again, a", "removed_items.a_record_that_was_restored_gets_a_new_item_where_its_own_has_left_meanwhile"),
        ("there | not returned when", "removed_items.what_monday_hides_is_asked_about_after_some_passes_never_deleted"),
        ("there | on another board", "removed_items.an_item_on_another_board_is_asked_about"),
        ("deleted | there, as the base", "deleted_records.deleted_there_as_the_base_goes_by_the_policy"),
        ("| there, changed", "deleted_records.deleted_there_changed_since_the_base_is_a_conflict_whatever_the_policy"),
        ("or with an unreadable", "deleted_records.an_unshown_value_of_a_column_is_asked_about_but_is_no_edit"),
        ("is synced to Monday", "deleted_records.an_edit_of_a_field_that_flows_to_monday_only_is_nothing_to_ask_about"),
        ("deleted, its sync off or one way from Monday", "deleted_records.what_needs_no_item_is_decided_first"),
        ("deleted | on another board", "deleted_records.an_item_on_another_board_stays_there"),
        ("or with another's NPD", "deleted_records.an_item_that_bears_another_records_npd_id_is_no_longer_this_ones"),
        ("deleted | deleted", "deleted_records.deleted_gone_leaves_nothing_to_do"),
        ("new or late, bearing the tombstone's NPD", "unmatched.an_item_with_a_deleted_records_npd_id_makes_no_record"),
        ("deleted | restored by someone after", "deleted_records.deleted_restored_after_we_archived_it_is_asked_about"),
        ("a person | there", "small_rules.a_persons_wish_to_unlink_goes_over_the_boards_policy"),
        ("With sync on again", "unlink.turned_on_again_it_is_linked_without_a_question_if_neither_side_was_edited"),
        ("until a person says so", "identity.a_record_that_was_unlinked_is_asked_whether_it_takes_its_item_back"),
        ("Monday has an undo", "removed_items.nothing_happens_before_the_quiet_time_is_over"),
        ("never its absence from a listing", "removed_items.an_item_is_gone_as_it_says_itself"),
        ("Deletes and clears are counted", "deleted_records.more_than_the_limit_waits_for_approval_all_together"),
        ("they wait for approval", "restraints.one_too_many_waits_and_is_said_once"),
        ("released by itself", "removed_items.a_request_is_over_where_a_person_is_asked_by_now"),
    ],
    "After a write": [
        ("that Monday refuses**", "restricted.reads_that_are_refused_whatever_they_name_are_asked_for_ever_less_often"),
        ("**A limit** stops everything", "writes_down.new_contacts_wait_at_little_cost_and_are_made_once"),
        ("The pair becomes", "settled.a_push_that_was_answered_moves_the_base_to_what_was_sent_and_answered"),
        ("for a pull (what NPD stored", "settled.a_pull_writes_the_record_and_moves_the_base"),
        ("Monday has altered what we sent", "settled.what_monday_made_of_a_value_is_said"),
        ("is someone's edit, not a change by Monday", "lost_updates.an_answer_that_equals_an_event_is_an_edit"),
        ("**A write without effect**", "settled.a_write_whose_answer_shows_what_was_read_keeps_its_base"),
        ("that a create's answer", "settled.only_what_a_create_lost_gets_no_base"),
        ("only normalised", "settled.what_monday_normalises_is_no_write_without_effect"),
        ("equal to the value", "fields.a_value_that_an_intent_sent_is_our_own_write_and_what_npd_says_since_is_pushed"),
        ("also for a create found by NPD ID", "unanswered_writes.what_a_create_gave_its_item"),
        ("merged against the old base", "fields.a_value_that_no_intent_sent_is_merged_against_the_old_base"),
        (
            "that no search finds",
            "unanswered_creates.nothing_is_made_anew_while_a_search_may_be_late_and_the_log_does_not_tell",
        ),
        ("late write is known as ours", "unanswered_writes.a_write_thought_to_have_come_to_nothing_is_known_as_ours"),
        ("unless an event names another user", "unanswered_writes.unless_an_event_names_another_user"),
        ("says decides nothing", "lost_updates.an_error_of_ours_on_what_an_event_says_tells_nothing_and_stops_nothing"),
        ("without an outcome while reads go on**", "executor.an_unknown_write_comes_again_in_parts_and_a_single_waits"),
        ("the token's user may not write**", "executor.what_the_user_may_not_write_is_tried_apart_with_the_npd_id"),
        ("**Lost update**", LOST),
        (
            "both values (on a one-way field, where NPD wins, or if its event can't be read: into the history;",
            "lost_updates.lost_values_question",
        ),
        ("or that was deleted since we wrote", "lost_updates.what_our_write_went_over_before_the_record_was_deleted"),
        ("an update loop, throttled", "write_loops.a_loop_is_throttled_for_longer_each_time"),
    ],
    "Conflicts": [
        ("One open conflict a record and kind", "desk.identity_conflicts_are_one_an_item_and_close_alone"),
        ('"Overwritten" keeps its values until a person', "lost_updates.what_waits_for_a_person_after_the_pass"),
        ("stale only when either side changed", "fields.choice_on_a_lost_value_is_outdated_when_a_side_moves"),
        ("where its column was replaced", "lost_updates.replaced_column_asks_on"),
        ("it closes (`auto`)", "desk.a_conflict_that_is_over_closes_by_itself_with_its_values_kept"),
        ("holds for what was shown", "duplicates_of.a_copy_that_is_edited_after_it_was_shown_is_asked_about_again"),
        ("the next pass applies it where they are unchanged", CHOICE),
        ("returns the rest", "fields.a_choice_may_be_rejected"),
        ("What was applied can be undone", "fields.an_undo_puts_both_sides_back_while_neither_moved"),
    ],
    "What sync_status may say: the first that fits": [
        ("`synced`", "empty_plans.settled_plan_is_empty"),
        ("left out by the filter", "filter.beside_a_listing"),
    ],
    "What a filter leaves out": [
        ("A pair is synced while all conditions", FILTERED),
        ("a record without an item fails its conditions", LEFT_OUT),
        ("its new item would fail the items' conditions", FILTERED),
        ("by NPD ID or match key all", "identity.an_item_that_the_filter_leaves_out_is_neither_linked_nor_made_twice"),
        ("is empty since the item that it named left its board", "filter.only_an_emptied_relation_makes_a_pair_leave"),
        ("an unmatched item fails the items' conditions", "unmatched.the_filter_leaves_items_and_records_out"),
        ("a record made of it, or the record that it matches", "unmatched.the_filter_leaves_items_and_records_out"),
        ("an edit in NPD leaves the record out", LEFT_OUT),
        ("an edit on Monday leaves the item out, the record matches", PULLS),
        ("an edit on Monday leaves the *record* out once it", "filter.a_record_leaves_by_the_value_that_it_takes_over"),
        ("an edit in NPD leaves the *item* out once it is sent", "filter.after_a_write"),
        ("out, and edited on either side", FILTERED),
        ("out, with open conflicts", "lost_updates.what_waits_for_a_person_after_the_pass"),
        ("out, its record deleted in NPD", "deleted_records.the_item_of_a_record_that_the_filter_leaves_out_stays"),
        ("its item archived, deleted or", "filter.an_item_that_left_the_board_while_the_filter_left_it_out_stays_out"),
        ("out, and a copy of its item bears its NPD ID", NEW_ITEM),
        ("to be left out, but Monday's edits wait", "filter.what_waits_for_an_approval_is_taken_over_first"),
        ("matches again", FILTERED),
        ("a condition can't be decided", FILTERED),
        ("pushed by name (*Sync now*)", "filter.a_push_by_name_is_left_out_too"),
    ],
}


def blocks() -> dict[str, list[str]]:
    """The page by section: each table row, list item, rule and paragraph as one line."""
    sections: dict[str, list[str]] = {}
    for part in re.split(r"^#+ ", (ROOT / PAGE).read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        lines = re.sub(r"\n\s*(?=\S)(?![-|])", " ", re.sub(r"\n\n", "\n\0\n", text)).replace("\0", "\n").split("\n")
        texts = [" ".join(line.strip(" |").split()) for line in lines if line.strip() and not line.startswith("|--")]
        rules = [rule for line in texts for rule in (line.split(" · ") if line.startswith("Rules:") else [line])]
        # A worked example repeats a row above it.
        sections[title] = [rule for rule in rules if rule not in HEADS and not rule.startswith("*Example.*")]
    return sections


HEADS = ("L against B | R against B | L against R | decision", "record | item | decision", "case | what is done")


@cache
def names_in(path: str) -> set[str]:
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def place_of(test: str) -> tuple[str, str]:
    room, _, name = test.partition(".")
    path = PLACES.get(room, f"tests/decide/test_{room}.py")
    short = {
        full for full in names_in(path) if full.removeprefix("test_").removeprefix("a_") == name.removeprefix("a_")
    }
    return path, next(iter(short), "")


@pytest.mark.parametrize("section", blocks())
def test_every_row_of_the_page_has_a_test(section: str) -> None:
    rules, rows = blocks()[section], ROWS.get(section, [])
    assert not [rule for rule in rules if not any(quote in rule for quote, _ in rows)], "without a test"
    assert not [quote for quote, _ in rows if not any(quote in rule for rule in rules)], "not on the page any more"
    assert not [test for _, test in rows if not place_of(test)[1]], "without such a test"


@pytest.mark.parametrize("section", ["A field, both ways", "A record and its item", "What a filter leaves out"])
def test_every_row_of_a_table_is_a_test_of_decide(section: str) -> None:
    """At least one of its tests needs no world."""
    for row in blocks()[section]:
        tests = [place_of(test)[0] for quote, test in ROWS[section] if quote in row]
        assert any(path.rpartition("/")[0] in DECIDE for path in tests), row
