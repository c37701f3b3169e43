"""The test of each row of docs/reference/merge; for what a pass decides, a test of `decide`.

Each page there has one table, whose rows have names. What rules can't decide (answers, locks) is tested elsewhere.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs/reference/merge.md"
PAGES = sorted(INDEX.with_suffix("").glob("*.md"))
MOST_WORDS_A_CELL = 25
DECIDE = {"tests/decide", "tests/merge"}
# The pages of which each row has a test that needs no world.
DECIDED = {"field", "record-and-item", "removed-and-deleted", "filter"}
# Of these no rule decides: the settings of a page, a person's call, and the database's part of a deletion.
BY_OTHERS = {"F28", "R7", "D2", "D24", "D25"}
# By test, which is in tests/decide unless it names another folder: the rows that it shows.
TESTS = {
    # values
    "connector/converters.text_is_compared_composed_with_plain_line_ends_and_trimmed": "V1",
    "reports/altered.of_a_list_each_element_counts_whatever_their_order": "V2",
    "reports/found_by_key.a_number_in_two_forms_comes_to_rest": "V3 V4",
    "connector/converters.a_number_is_read_in_the_cell_s_country_and_pulled_so_that_it_stays_that_number": "V3",
    "fields.a_number_in_another_form_is_the_same_number": "V4",
    "rules.a_number_takes_its_organizations_country": "V3 V4",
    "reports/found_by_key.an_address_has_one_form_through_every_door": "V5",
    "connector/converters.nothing_an_empty_text_and_whitespace_are_all_empty": "V6",
    "connector/converters.a_name_without_a_visible_character_is_empty_on_both_sides": "V6",
    "rules.an_address_is_divided_only_where_it_changed": "V7",
    "connector/converters.an_email_s_own_label_stays_and_a_repeated_address_goes_with_the_old_one": "V8",
    "fields.a_base_of_another_mapping_version_counts_as_none": "V9",
    "reports/found_by_key.each_way_to_write_a_name_has_one_key": "V10",
    "reports/found_by_key.a_person_is_found_by_an_address_in_another_form": "V10",
    "reports/found_by_key.a_name_is_one_however_its_apostrophe_or_dash_is_typed_and_an_address_is_not": "V11",
    "reports/found_by_key.an_organization_is_found_by_its_name_in_another_form": "V12",
    "connector/converters.an_unknown_reading_is_refused_with_its_reason": "V13",
    "fields.an_item_that_no_record_has_is_waited_for": "V14",
    "reports/odd_answers.a_connected_column_that_also_names_an_item_that_people_do_not_see": "V15",
    "fields.a_cell_that_a_removed_item_left_empty_was_emptied_by_nobody": "V16",
    "fields.what_can_not_be_written_is_blocked_with_its_reason": "V13 V17 F4",
    # a field
    "fields.a_field_is_decided_by_its_row": "F1 F2 F3 F5 F7 F8 F10 F25",
    "fields.what_both_sides_changed_differently_is_a_conflict_with_its_three_values": "F6 F13",
    "fields.a_field_that_npd_emptied_while_it_was_held_is_not_filled_from_a_new_column": "F9 F24",
    "fields.without_a_base_what_differs_is_asked_about": "F11",
    "fields.a_name_in_another_form_names_the_same_organization_unless_another_has_it": "F12",
    "plan_laws.a_plan_keeps_every_law_and_to_decide_changes_nothing_that_is_known": "F4",
    "rules.the_winning_side_is_written_and_the_other_overridden": "F6 F14 F15 F21",
    "rules.by_the_rule_newest_the_newer_edit_wins": "F16 F17",
    "rules.lists_are_united_on_both_sides": "F18",
    "rules.a_text_that_is_no_list_is_asked_about_under_the_rule_union": "F19",
    "rules.an_element_that_the_column_cant_carry_is_held": "F20",
    "fields.one_way_the_target_s_own_edit_is_said_to_be_overridden": "F22",
    "merge/laws.where_nothing_was_agreed_yet_an_empty_side_clears_nothing": "F23",
    "fields.one_way_from_monday_an_organization_without_an_item_stays_where_it_was_agreed_on_with_an_empty_cell": "F23",
    "changes.a_changed_setting_leaves_it_to_the_next_pass": "F25",
    "fields.an_item_without_the_npd_id_gets_it_whatever_the_directions_say": "F25",
    "small_rules.a_pass_without_a_call": "F26 O6 O11",
    "fields.a_record_without_sync_that_is_sync_pressed_sends_what_npd_changed_and_nothing_else": "F27",
    "api/push.against_its_direction_nothing_is_sent_and_through_a_filter_what_fits": "F28",
    # a cell that nobody emptied
    "emptied_cells.an_empty_cell": "E1 E2 E3 E4 E5 E6",
    "emptied_cells.connected_items_that_are_shown_as_none": "E7",
    "emptied_cells.one_way_from_monday_a_person_is_asked": "E8",
    "emptied_cells.beyond_the_guard_a_person_is_asked_and_followed": "E8 E9",
    "emptied_cells.what_a_person_keeps_against_the_direction_stays_in_npd": "E9",
    "engine/emptied_cells.what_people_empty_arrives_with_every_webhook_lost": "E6",
    "engine/emptied_cells.beyond_the_guards_number_they_wait_as_one_approval": "E9 E10",
    "engine/emptied_cells.an_item_that_was_on_another_board_gets_its_values_again": "E11",
    "engine/emptied_cells.an_edit_that_an_item_lost_unread_is_in_the_history": "E13",
    "engine/emptied_cells.a_cell_that_nobody_emptied_is_no_edit_of_an_archived_item_or_a_deleted_record": "E12",
    # reads that lag
    "read_lag.mondays_own_order_counts_where_its_clock_is_minutes_off": "L1 L2",
    "read_lag.a_read_that_contradicts_the_newest_event_is_stale": "L2 L3",
    "read_lag.a_read_of_what_we_just_replaced_is_stale": "L3",
    "read_lag.what_newer_reads_have_shown_is_not_stale": "L4",
    "read_lag.an_edit_that_we_wrote_over_is_over_whatever_is_read": "L5",
    "read_lag.what_can_t_be_read_is_not_stale": "L6",
    "read_lag.a_phone_as_webhooks_send_it_names_another_number_unless_its_digits_are_shown": "L6",
    "read_lag.a_cell_that_is_set_aside_decides_nothing_and_makes_its_record_pending": "L7 L8",
    "engine/read_lag.an_edit_arrives_with_the_first_look_at_which_reads_show_it": "L9",
    "engine/read_lag.an_edit_that_no_read_shows_for_ten_minutes_is_not_waited_for_any_longer": "L10",
    "read_lag.sync_now_sends_what_was_changed_in_npd_over_an_edit_that_is_not_shown": "L11",
    "engine/read_lag.an_item_that_reads_do_not_return_yet_is_waited_for": "L12",
    "engine/read_lag.a_state_that_reads_do_not_show_yet_is_waited_for": "L13",
    "engine/read_lag.sync_now_writes_to_an_item_that_is_still_shown_after_it_is_reported_archived": "L13",
    "wizard/plan.nothing_is_made_for_people_whose_items_a_listing_lacks": "L14",
    "lifecycle/unlink.an_item_that_reads_do_not_return_yet_loses_its_npd_id_too": "L12 D22",
    "sweeps/gaps.a_listing_whose_pages_lead_nowhere_ends_and_is_said": "L14",
    "sweeps/gaps.a_listing_that_is_too_short_two_nights_in_a_row_is_the_comparisons_problem": "L14 L15",
    "sweeps/gaps.an_item_that_spoils_each_page_is_named_and_tried_alone_and_the_others_are_compared": "L15",
    "sweeps/gaps.a_log_that_stays_empty_while_the_board_changes_is_the_comparisons_problem": "L15",
    "sweeps/missed_webhooks.an_edit_left_to_its_webhook_is_found_by_the_next_sweep_while_mondays_clock_is_ahead": "L16",
    "sweeps/gaps.once_an_hour_the_log_is_read_an_hour_back": "L16",
    "reports/odd_answers.a_cell_that_an_answer_lacks_is_read_again": "L17",
    "reports/odd_answers.a_cell_for_which_an_answer_has_an_error_is_read_again": "L17",
    "connector/activity.a_row_in_another_form_hides_no_other_row_nor_that_the_page_is_full": "L16",
    "reports/odd_answers.a_column_that_stays_hidden_is_read_again_for_ten_minutes": "L17",
    "read_lag.every_combination_of_shown_reported_base_and_edit_is_decided_by_its_row": "S1 S2 S3 S4 S5 S6 S7 S8 S9",
    # a record and its item
    "identity.one_free_hit_is_linked": "R1 R2 R8",
    "identity.several_hits_are_asked_about": "R3",
    "identity.a_hit_linked_elsewhere_is_asked_about": "R3",
    "identity.none_the_item_is_created": "R4",
    "identity.the_oldest_of_one_key_gets_a_new_item_and_the_others_find_it_next_pass": "R4",
    "identity.a_name_on_an_item_is_asked_about_where_a_key_is_missing": "R5",
    "setup/boards_that_people_have.nobody_is_made_twice_on_a_board_where_few_emails_are_filled_in": "R5",
    "identity.none_on_a_board_that_holds_creates_nothing_is_created_until_a_person_wants_it": "R6",
    "setup/boards_that_people_have.it_ends_once_each_item_is_filled_in_archived_or_ignored": "R7",
    "setup/boards_that_people_have.choosing_the_right_column_ends_it_and_links_everybody": "R7",
    "wizard/another_board.a_duplicated_board_is_linked_by_npd_id_and_the_first_one_stays": "R8",
    "wizard/another_board.the_plan_is_what_happens": "R8",
    "identity.what_the_plan_had_no_new_item_for_is_asked_about": "R9",
    "unmatched.an_item_without_a_record": "R10 R11 R12 R13 R15 R17 R18 R19 R20 R21 R22 R23 O4 O5 O15",
    "unmatched.where_the_board_makes_no_records_only_a_person_does": "R13",
    "identity.same_person": "R14",
    "unmatched.what_the_plan_had_no_new_record_for_waits_for_a_person": "R16",
    "lifecycle/duplicates.a_question_ends_when_its_two_no_longer_look_the_same": "R17",
    "duplicates.what_is_said_of_it": "R18",
    # removed and deleted
    "removed_items.an_item_is_gone_as_it_says_itself": "D1",
    "removed_items.nothing_happens_before_the_quiet_time_is_over": "D1",
    "connector/items.a_board_that_is_null_once_is_asked_for_once_more": "D2",
    "removed_items.a_base_whose_item_is_gone_goes_by_policy": "D3",
    "removed_items.there_changed_since_the_base_is_asked_about_whatever_the_policy": "D4",
    "removed_items.a_value_that_never_agreed_and_that_monday_never_got_is_asked_about": "D5",
    "removed_items.an_unshown_value_of_a_column_is_asked_about_but_is_no_edit": "D5",
    "removed_items.a_conflict_about_its_values_is_a_persons_to_decide_first": "D6",
    "removed_items.so_is_an_edit_that_our_write_went_over_where_a_person_is_asked_about_it": "D6",
    "removed_items.options_and_policies_are_those_that_are_left": "D7",
    "changes.a_policy_deletes_only_what_nobody_would_miss": "D7",
    "removed_items.an_item_that_is_removed_each_time_it_is_made_again_is_asked_about": "D8",
    "removed_items.a_new_item_that_a_person_asked_for_is_made_at_once": "D9",
    "removed_items.of_an_edit_that_nobody_was_shown_the_history_has_the_value": "D9",
    "removed_items.a_record_that_was_restored_gets_a_new_item_where_its_own_has_left_meanwhile": "D10",
    "removed_items.what_monday_hides_is_asked_about_after_some_passes_never_deleted": "D11",
    "removed_items.an_item_on_another_board_is_asked_about": "D12",
    "deleted_records.what_a_call_of_ours_without_an_answer_sent_is_nobodys_edit": "D13",
    "deleted_records.deleted_there_as_the_base_goes_by_the_policy": "D14",
    "deleted_records.deleted_there_changed_since_the_base_is_a_conflict_whatever_the_policy": "D15",
    "deleted_records.an_unshown_value_of_a_column_is_asked_about_but_is_no_edit": "D15",
    "deleted_records.an_edit_of_a_field_that_flows_to_monday_only_is_nothing_to_ask_about": "D16",
    "deleted_records.what_needs_no_item_is_decided_first": "D17",
    "deleted_records.an_item_on_another_board_stays_there": "D18",
    "deleted_records.an_item_that_bears_another_records_npd_id_is_no_longer_this_ones": "D18",
    "deleted_records.deleted_gone_leaves_nothing_to_do": "D19",
    "unmatched.an_item_with_a_deleted_records_npd_id_makes_no_record": "D20",
    "deleted_records.deleted_restored_after_we_archived_it_is_asked_about": "D21",
    "small_rules.a_persons_wish_to_unlink_goes_over_the_boards_policy": "D22",
    "small_rules.of_an_unlinked_record_the_items_npd_id_is_cleared": "D22",
    "identity.a_record_that_was_unlinked_is_asked_whether_it_takes_its_item_back": "D23",
    "lifecycle/unlink.turned_on_again_it_is_linked_without_a_question_if_neither_side_was_edited": "D23",
    "lifecycle/record_gone.a_record_deleted_while_its_create_was_in_the_air_has_its_item_archived": "D24",
    "lifecycle/record_gone.a_deleted_record_is_brought_back_by_hand_under_its_own_id_and_linked": "D25",
    "deleted_records.more_than_the_limit_waits_for_approval_all_together": "D26",
    "restraints.one_too_many_waits_and_is_said_once": "D26",
    "removed_items.a_request_is_over_where_a_person_is_asked_by_now": "D26",
    # after a write
    "merge/settled_field.a_push_that_was_answered_moves_the_base_to_what_was_sent_and_answered": "W1",
    "merge/settled_field.a_pull_writes_the_record_and_moves_the_base": "W2",
    "merge/settled_field.what_monday_made_of_a_value_is_said": "W3",
    "reports/altered.what_nothing_is_lost_by_is_synced_with_a_note": "W4",
    "reports/altered.a_value_that_lost_characters_stays_pending_with_the_reason": "W5",
    "lost_updates.what_our_writes_went_over": "W6 W22 W23 W24 W26",
    "lost_updates.an_answer_that_equals_an_event_is_an_edit": "W7",
    "merge/settled_field.a_write_whose_answer_shows_what_was_read_keeps_its_base": "W8",
    "merge/settled_field.what_monday_normalises_is_no_write_without_effect": "W8",
    "merge/settled_field.only_what_a_create_lost_gets_no_base": "W9",
    "engine/swallowed_writes.what_has_no_effect_twice_waits_with_a_note_until_a_side_changes": "W10",
    "engine/swallowed_writes.an_edit_after_a_write_without_effect_is_a_conflict": "W11",
    "engine/swallowed_writes.a_choice_is_applied_once_monday_stores_it_and_comes_back_if_it_never_does": "W12",
    "engine/swallowed_writes.a_removal_that_monday_does_not_carry_out_is_sent_again_and_then_said": "W13",
    "fields.a_value_that_an_intent_sent_is_our_own_write_and_what_npd_says_since_is_pushed": "W14",
    "unanswered_writes.what_a_create_gave_its_item": "W14 W16",
    "fields.a_value_that_no_intent_sent_is_merged_against_the_old_base": "W15 W16",
    "lost_updates.a_replaced_write_has_landed": "W17",
    "engine/lost_updates.a_value_put_back_over_a_write_that_seemed_void_is_in_the_activity": "W18",
    "unanswered_writes.a_write_thought_to_have_come_to_nothing_is_known_as_ours": "W19",
    "unanswered_writes.unless_an_event_names_another_user": "W19",
    "unanswered_creates.what_is_found_is_linked": "W20",
    "unanswered_creates.nothing_is_made_anew_while_a_search_may_be_late_and_the_log_does_not_tell": "W20 W21",
    "lost_updates.a_lost_values_question": "W25",
    "lost_updates.what_our_write_went_over_before_the_record_was_deleted": "W25",
    "engine/lost_updates.a_lost_value_of_a_record_that_is_not_synced_any_more_is_in_the_history_once": "W25",
    "inbox/storing.a_delivery_happened_when_it_says_so_unless_no_calendar_has_that_time": "W27",
    "lost_updates.an_error_of_ours_on_what_an_event_says_tells_nothing_and_stops_nothing": "W28",
    "write_loops.a_loop_is_throttled_for_a_day": "W29",
    "write_loops.it_ends": "W29",
    # limits and stops
    "limits/promises.an_hour_of_failures_costs_few_calls_and_all_is_synced_after_it": "M1 M3 M4 M15 M16 M17 M18 M19",
    "reports/writes_down.an_edit_on_the_board_of_a_record_whose_own_change_waits_comes_in_meanwhile": "M2",
    "reports/writes_down.an_edit_on_the_board_of_the_field_that_waits_is_a_conflict_at_once": "M2",
    "reports/writes_down.a_delivery_brings_the_next_attempt_forward_at_most_every_ten_minutes": "M5",
    "reports/writes_down.a_wait_of_a_day_is_ended_by_whoever_tries_again": "M6",
    "limits/ends_of_stops.a_stop_is_shown_with_one_beginning_until_a_call_of_its_kind_goes_through": "M6 M17 M24",
    "executor.what_failed_together_comes_in_parts_after_all_else_and_is_judged_by_it": "M7 M9",
    "executor.an_unknown_write_comes_again_in_parts_and_a_single_waits": "M7 M8",
    "executor.large_parts_are_repeated_first_and_once_no_repeat_is_left_the_rest_waits": "M8",
    "reports/poisoned.many_that_always_fail_hold_the_others_two_hours_at_most_and_fail_after_five_attempts": "M8 M9",
    "executor.what_the_user_may_not_write_is_tried_apart_with_the_npd_id": "M10 M11",
    "executor.the_other_values_of_a_refused_change_are_sent_one_by_one": "M11",
    "executor.the_second_item_in_a_row_that_takes_nothing_closes_the_board": "M12",
    "reports/restricted.a_column_that_is_closed_is_blocked_and_the_other_fields_flow": "M11",
    "reports/restricted.a_new_contact_with_a_closed_column_is_made_without_it": "M13",
    "reports/restricted.what_refuses_new_items_holds_new_items": "M14",
    "executor.a_read_that_fails_alone_again_counts": "M20",
    "limits/breaker.a_wait_that_monday_asked_for_is_never_shortened": "M21",
    "limits/breaker.probes_come_after_5_10_20_40_seconds_then_each_minute_and_later_every_six": "M22 M24",
    "reports/odd_answers.an_answer_without_what_was_asked_for_makes_no_second_item": "M24",
    "limits/way_out.a_click_does_not_cut_the_wait_that_monday_asked_for": "M23",
    "limits/worker.what_a_person_clicked_goes_out_of_the_reserve_and_takes_nothing_along": "M25",
    # conflicts
    "conflicts/desk.the_same_finding_twice_writes_once": "C1",
    "conflicts/desk.identity_conflicts_are_one_an_item_and_close_alone": "C1 C2",
    "lost_updates.what_is_reported_about_a_lost_value": "C3 O12",
    "fields.a_choice_on_a_lost_value_is_outdated_when_a_side_moves": "C3",
    "conflicts/desk.values_are_brought_up_to_date_and_fields_join_and_leave": "C4",
    "conflicts/desk.a_field_that_is_mapped_anew_leaves_its_conflict_with_its_values_and_the_choice": "C5",
    "wizard/plan.a_field_mapped_to_another_column_ends_its_conflict_and_is_compared_with_that_column": "C5 C6",
    "conflicts/desk.a_conflict_that_is_over_closes_by_itself_with_its_values_kept": "C7",
    "wizard/another_board.an_answer_that_no_pass_has_applied_ends_with_its_board_and_the_plan_says_so": "C7 R8",
    "lifecycle/duplicates.a_copy_that_is_edited_after_it_was_shown_is_asked_about_again": "C8 C9",
    "lifecycle/duplicates.an_answer_that_can_not_be_carried_out_says_so_and_keeps_the_question": "C10",
    "conflicts/resolution.a_choice_is_stored_and_a_look_ordered_ahead_of_other_work_in_one_go": "C11",
    "fields.a_choice_that_holds_is_applied": "C12",
    "fields.a_choice_may_be_rejected": "C12",
    "conflicts/desk.a_rejected_choice_comes_back_the_others_wait_on_and_it_is_chosen_again": "C12",
    "fields.an_undo_puts_both_sides_back_while_neither_moved": "C13",
    "conflicts/undo.the_part_of_a_conflict_that_was_resolved_is_undone_and_the_rest_stays_open": "C13",
    "conflicts/undo.a_moved_side_is_not_put_back_and_what_lost_is_in_the_activity": "C14",
    # the filter
    "filter.a_record_that_fails_is_left_out_with_one_line_in_its_history": "O1 O6",
    "filter.an_item_is_weighed_by_what_it_says": "O2 O11 O17 O18",
    "identity.an_item_that_the_filter_leaves_out_is_neither_linked_nor_made_twice": "O3",
    "unmatched.the_filter_leaves_items_and_records_out": "O4 O5",
    "filter.a_pair_leaves_by_what_both_sides_say_after_the_write": "O7 O9 O10",
    "engine/filter.edits_of_both_sides_are_synced_before_a_pair_leaves": "O7",
    "filter.only_an_emptied_relation_makes_a_pair_leave": "O8",
    "deleted_records.the_item_of_a_record_that_the_filter_leaves_out_stays": "O13",
    "filter.an_item_that_left_the_board_while_the_filter_left_it_out_stays_out": "O14",
    "filter.what_waits_for_an_approval_is_taken_over_first": "O16",
    "filter.a_send_off_record_is_left_out_too": "O19",
    # sync_status
    "filter.beside_a_listing": "T1",
    "empty_plans.a_settled_plan_is_empty": "T2 T3 T4 T5 T6",
}


@cache
def rows() -> dict[str, tuple[str, list[str]]]:
    """By a row's name: its page, and its other cells."""
    found = {}
    for page in PAGES:
        for line in page.read_text().splitlines():
            if row := re.match(r"([A-Z]\d+) (.* \| .*)", line):
                assert row[1] not in found, row[1]
                found[row[1]] = (page.stem, row[2].split(" | "))
    return found


@cache
def shown_by(row: str) -> set[str]:
    return {test for test, names in TESTS.items() if row in names.split()}


@cache
def names_in(path: str) -> set[str]:
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def path_of(test: str) -> str:
    folder, _, module = test.partition(".")[0].rpartition("/")
    return f"tests/{folder or 'decide'}/test_{module}.py"


def test_every_row_has_a_test() -> None:
    assert not [row for row in rows() if not shown_by(row)]
    assert not {row for names in TESTS.values() for row in names.split()} - rows().keys(), "not on a page any more"
    assert not [test for test in TESTS if f"test_{test.partition('.')[2]}" not in names_in(path_of(test))]


def test_every_row_that_rules_decide_has_a_test_without_a_world() -> None:
    decided = [row for row, (page, _) in rows().items() if page in DECIDED and row not in BY_OTHERS]
    assert not [row for row in decided if not {path_of(test).rpartition("/")[0] for test in shown_by(row)} & DECIDE]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_one_table_of_short_cells_and_an_example(page: Path) -> None:
    text = page.read_text()
    assert text.count("*Example.*") == 1
    assert f"merge/{page.name}" in INDEX.read_text()
    cells = [cells for name, cells in rows().values() if name == page.stem]
    [table] = [paragraph.splitlines() for paragraph in text.split("\n\n") if " | " in paragraph]
    assert len(cells) == len(table) - 2, "each row has a name"
    assert not [cell for row in cells for cell in row if len(cell.split()) > MOST_WORDS_A_CELL]
