"""Every sentence that is stored, by its code: lines of activity, reasons, notes, questions.

`{name}` is a value or another message; `{name:quoted}` a value in quotation marks on one line, or “(empty)”;
`{name:value}` the same uncut, or “empty”; `{name:because}` a reason after a colon, or a full stop; `{name:capital}` a
clause that begins a sentence; `{name:; }` a list with semicolons, `{name:or}` quoted values of which one holds.
`[[…]]` is left out unless each value in it is given. A value that is a sentence takes no second full stop.
"""

from collections.abc import Mapping

from sync.choices import CallKind, StopCode, UnmatchedReason
from sync.monday import errors

_SILENT = (
    "The check for missed changes finds them some minutes later. Check that Monday can reach SITE_URL ({url}) from the "
    "internet, and search the log of web for refused deliveries."
)
_THROTTLED = (
    "So nothing is sent to it for some time. Stop the automation that rewrites it, or change the field's direction. "
    "Then press “Sync now”."
)

_NPD_ID = (
    "Until it is back, NPD Sync creates no items and no records, because it couldn't recognize copies. Linked records "
    "are synced. Restore the column on the board, or run the set-up again (Boards, “Set up…”), which creates a new one."
)

TEMPLATES: Mapping[str, str] = {
    "sentences": "{parts}",
    "uncoded": "{text}",
    # Monday's refusals (sync/monday/errors.py), in Monday's words or ours.
    "monday_error": "{quote}[[ (column {column})]].[[ {advice}]][[ [Monday request {request}]]]",
    "advice_on_server": errors.ADVICE_ON_SERVER,
    **{f"advice_{kind}": kind.advice for kind in errors.KINDS.values()},
    # Values that moved.
    "transfer": "{label} “{after}”[[ (was “{before}”)]] {way}[[: {reason}]].",
    "way_sent": "sent to Monday",
    "way_refilled": "filled into the new column",
    "way_filled_again": "filled in again on Monday",
    "way_pulled": "updated from Monday",
    "way_both": "written on both sides",
    "value_rejected": "{label} rejected: {quote}.",
    # Why a field was decided so.
    "direction_off": "its direction is “Sync off”",
    "sync_is_off_now": "sync is off",
    "left_out_by_filter": "left out by the filter",
    "changed_in_npd": "changed in NPD",
    "changed_on_monday": "changed on Monday",
    "changed_on_both": "changed on both sides",
    "different_when_matched": "different when first matched",
    "empty_in_npd": "empty in NPD",
    "empty_on_monday": "empty on Monday",
    "empty_on_both": "empty on both sides",
    "emptied_by_nobody": "nobody emptied it on Monday",
    "new_on_monday": "new on Monday",
    "both_name_the_same": "both sides name the same record",
    "source_never_had_value": "the source never had a value",
    "mirrored_one_way": "mirrored one way",
    "npd_wins_by_rule": "{reason}; NPD wins",
    "monday_wins_by_rule": "{reason}; Monday wins",
    "npd_edit_newer": "{reason}; NPD's edit is the newer one",
    "monday_edit_newer": "{reason}; Monday's edit is the newer one",
    "edit_time_unknown": "{reason}; when it was edited {side} is not known, so it is a conflict",
    "edited_too_close": "{reason}, within {seconds} seconds, so it is a conflict",
    "lists_merged": "{reason}; lists merged",
    "only_lists_merged": "{reason}; only lists can be merged, so it is a conflict",
    "both_have_it_again": "{reason}; both sides have it again",
    "person_chose_npd": "a person chose NPD's value",
    "person_chose_monday": "a person chose Monday's value",
    "person_chose_base": "a person chose the last synced value",
    "person_chose_lost_value": "a person chose it; Monday's value was lost with the former column",
    "person_typed": "a person typed a value",
    "person_restored_overwritten": "a person restored an overwritten value",
    "person_kept_it_filled": "a person decided that it is not emptied",
    "restored_by_undo": "restored as it was before the conflict was resolved",
    "its_column_was_replaced": "its column was replaced",
    "they_are_the_same": "they are the same",
    "second_item_has_npd_id": "a second item has the record's NPD ID",
    "item_without_record": "an item without a record: {kind}",
    "in_npd": "in NPD",
    "on_monday": "on Monday",
    # Records and items.
    "item_created": "Created the item “{item}” on the board.",
    "item_linked": "Linked with the item “{item}” on the board.",
    "item_linked_as_chosen": "Linked with the item of its name, as chosen in the set-up.",
    "item_back": "Its item is on the board again.",
    "linked_again": "Linked again with its item; its sync is on.",
    "record_deleted": "Deleted in NPD.",
    "restored_by": "Restored by {by}.",
    "not_restored": "NPD's database can't take “{record}” back: {quote}",
    "record_restored": "Restored as it was when it was deleted.",
    "somebody": "Somebody",
    "unlinked_by": "{by} unlinked it",
    "unlinked": "Unlinked from its item: {why}. Its sync is off; both sides keep what they have. “Link again” on the "
    "record's page undoes it.",
    "deleted_too": "{removal} So it was deleted in NPD too, {decided_by}.",
    # The filter.
    "field_is": "{field} is {values:or}",
    "field_is_not": "{field} is not {values:or}",
    "field_is_filled": "{field} is filled",
    "field_is_empty": "{field} is empty",
    "field_contains": "{field} contains {values:or}",
    "field_contains_none": "{field} doesn't contain {values:or}",
    "field_on_monday": "{field} on Monday",
    "filter_leaves_out": "Left out by the filter: {condition}.",
    "filter_unknown": "Whether the filter leaves it out is not known, for {field} can't be read.",
    "filter_unknown_emptied": "Whether the filter leaves it out is not known: a cell is empty that nobody emptied, "
    "such as one whose item left its board.",
    "filter_may_be_its_item": "{filter} The item “{item}” may be this record's, so none was linked or created.",
    "filter_no_item": "Its item would not match, so none is created.",
    "no_item_searched": "No item was searched or made.",
    "no_item_made": "No item was made.",
    "left_out_linked": "{filter} Both sides keep what they have.",
    "let_in": "It matches the filter again, and is synced again.",
    # Edits on Monday that were lost.
    "edit_overwritten": "{editor} {edit} on Monday while {sent} was being sent, which overwrote it.",
    "edit_unshown": "{editor} {edit} on Monday and its answers never showed it. {sent} was sent over it.",
    "edit_dropped": "{editor} {edit} on Monday and its item lost it. {sent} was filled in again.",
    "edit_removed": "{editor} {edit} on Monday, and {why}",
    "edit_wrote": "wrote “{value}” into {label}",
    "edit_emptied": "emptied {label}",
    "empty_value": "an empty value",
    "choose_the_right_one": "Choose the right one.",
    "can_restore": "You can restore it from here.",
    # Answers of Monday that lag behind.
    "unshown_edit": "Monday reports an edit that its answers don't show yet. It is read again in a moment.",
    "unshown_write": "Monday's answers don't show yet what was sent. It is read again in a moment.",
    "unshown_item": "Monday's answers don't show yet what happened to its item. It is read again in a moment.",
    "waits_for_log": "It is empty on Monday, and nobody is known to have emptied it. Monday's log is asked first.",
    "waits_for_look": "Monday shows no connected item, and nobody is known to have removed it. It is read once more.",
    # Approvals, and fields that somebody rewrites again and again.
    "approval_needed": "{label} was emptied {emptied}; that “{value}” is emptied {filled} too waits for approval: too "
    "many at once.",
    "emptied_unreported": "{label} is empty on Monday, and nobody is known to have emptied it. What becomes of "
    "“{value}” waits for somebody to choose.",
    "approval_of_value": "{label} “{value}” of {record}",
    "approval_of_item": "The item of “{record}”, which was deleted in NPD",
    "approval_of_second_item": "The second item of “{record}”, created by a call whose answer was lost",
    "approval_of_record": "{record}",
    "approval_over": "Nothing waits for approval any more: {request}.",
    "approved": "Approved “{kind}”: {request}.",
    "rejected": "Rejected “{kind}”: {request}.",
    "throttled": "{by} on the board rewrote “{label}” {times} times within an hour after NPD Sync had sent it. "
    + _THROTTLED,
    "throttled_again": "{by} on the board rewrote “{label}” again after NPD Sync had sent it. " + _THROTTLED,
    # Conflicts.
    "conflict_found": "Conflict found: {label} (NPD {npd:quoted} / Monday {monday:quoted}).",
    "conflict_record_found": "Conflict found: {question}",
    "conflict_chosen": "Chose {result:quoted} for {label}: {changes}.",
    "conflict_record_chosen": "Chose “{option}”. The question was: {question}",
    "conflict_applied": "Resolved {label} as chosen: {result:quoted}, {written}. NPD had {npd:quoted}, Monday had "
    "{monday:quoted}.",
    "conflict_record_applied": "Resolved as chosen (“{option}”): {outcome}",
    "conflict_ended": "The conflict on {label} closed{why:because} NPD had {npd:quoted}, Monday had {monday:quoted}.",
    "conflict_record_ended": "Nobody has to answer this now{why:because} The question was: {question}",
    # The record was deleted on one side, and this field is no longer edited on the other.
    "conflict_unedited": "{label} isn't in conflict any more. NPD had {npd:quoted}, Monday had {monday:quoted}.",
    "conflict_overwritten_again": "Another edit of {label} was overwritten: {second:quoted}. The activity keeps the "
    "one before it, {monday:quoted}.",
    "conflict_rejected": "{by}'s choice[[ for {label}]] could not be saved: {why}",
    "conflict_not_needed": "{by}'s choice[[ for {label}]] was not saved: {why}",
    "conflict_undo_requested": "Asked to undo how {label} was resolved.",
    "conflict_undone": "Undid how {label} was resolved. It is in conflict again: {npd:quoted} against {monday:quoted}.",
    "conflict_not_undone": "Asked to undo how {label} was resolved, which was not done: {why}",
    # Answers about values that Monday rejected.
    "rejected_kept": "Both left as they are: {label} stays “{npd}” in NPD and {monday:quoted} on Monday, until "
    "somebody changes it or its column.",
    "rejected_reopened": "{label} “{npd}” is open again.",
    "rejected_taken": "{label} is {after:quoted} as on Monday; it was {before:quoted}, which Monday rejected.",
    "rejected_sent_again": "{label} {after:quoted} was chosen to be sent to Monday once more.",
    "rejected_typed": "{label} became {after:quoted}, which was typed here; it was {before:quoted}, which Monday "
    "rejected.",
    # Jobs.
    "job_retried": "Retried.",
    "job_cancelled": "{by} cancelled the pending job. The next change of the record is synced again.",
    "job_discarded": "{by} discarded the failed job. The next change of the record is synced again.",
    # Imports and undo.
    "imported": "Imported “{file}”: {new:,} new, {changed:,} changed.",
    "made": "Made {made}: {names}.",
    "made_by_import": "Made by the import of “{file}”[[, row {row}]].",
    "set_by_import": "{label} set to {after:value} (was {before:value}) by the import of “{file}”, row {row}.",
    "undone_import": "{by} undid the import: {name} was deleted.",
    "undone_value": "{by} put {label} back to {after:value} (was {before:value}).[[ {note}]]",
    "only_npd_changes": "It isn't synced now, so only NPD changes.",
    # Why a job ended, waits or failed.
    "quoted": "{quote}",
    "superseded": "superseded by #{job}",
    "retried_by": "retried by {by}",
    "cancelled_by": "cancelled by {by}",
    "discarded_by": "discarded by {by}",
    "own_fault": "NPD Sync itself failed on this record ({quote}). Please report it with the worker's log.",
    "worker_ended": "Its worker ended before it was done.",
    "worker_ended_alone": "The worker ended while it synced this record alone.",
    "shutting_down": "The worker had to end before this call. Another one makes it.",
    "waits_writes": "Monday doesn't store what is sent.",
    "waits_turn": "Monday has failed on it before, so it is tried in its turn.",
    "edits_come_in": "What is edited on Monday still comes in.",
    "monday_is_slow": "Monday is slow. The next sync continues with it.",
    "call_swallowed": "Monday answered the call without carrying it out: it still shows the item as it was.",
    "new_item_unknown": "Monday refused its new item, and shows one of which it isn't known whose it is.",
    "npd_ids_unreadable": "The NPD IDs on the board can't be read.",
    "database_rejected": "NPD's database rejected it: {quote}",
    "database_rejected_monday": "NPD's database rejected what came from Monday: {quote}",
    "changed_meanwhile": "It changed while it was synced.",
    "settings_changed_meanwhile": "Its settings changed while it was synced.",
    "sync_is_off": "Sync is off for this record.",
    "sync_turned_off": "Sync was turned off for this record.",
    "nothing_changed": "Nothing that is synced changed.",
    "known_already": "Monday reported what was known already.",
    "no_such_record": "There is no such record, and none is remembered.",
    "other_fields_follow": "Its item was created; the other fields follow.",
    "made_without_npd_id": "Monday made the item without its NPD ID.",
    "answer_without_value": "Monday's answer didn't show what was written.",
    "answer_not_stored": "Monday answered the write, but didn't store it.",
    "monday_filled_in": "Monday filled in a value of its own.",
    "not_put_on_board": "It can't be put on the board: {why}",
    "no_name_mapped": "no name is mapped.",
    "match_column_missing": "Records and items are matched by it, so no item is created until then.",
    "no_item_and_only_to_npd": "There is no item for it on Monday, and its direction lets nothing be sent. Create the "
    "item on the board, or change the direction.",
    # Limits and pauses.
    "not_connected": "Monday isn't connected. Enter an API token under Settings, Monday connection.",
    "token_unreadable": "The stored API token can't be read, because the server's encryption key was changed. Enter "
    "the token again under Settings, Monday connection.",
    "no_board": "There is no board for {type} records yet: choose one under Boards, “Set up…”.",
    "board_not_set_up": "The board {board} of {setting} isn't set up yet: run `manage.py monday_setup`, or press “Set "
    "up…” under Boards.",
    "next_attempt_at": "Next attempt at {at}.",
    "goes_on_at": "Sync continues by itself at {at}.",
    "goes_on_once_answered": "It continues once Monday has answered.",
    "sent_together": "Changes of this board are sent together every {every}, next at {at}, so that today's API quota "
    "lasts; “Sync now” sends one record at once.",
    "calls_used_up": "Today's calls to Monday are used up.",
    "calls_used_up_but_reserve": "Today's calls to Monday are used up, but for those that “Sync now” may still use.",
    "points_used_up": "This minute's complexity points at Monday are used up.",
    "paused_by": "Paused by {by} since {since}{end}[[ ({why})]].",
    # Blocked fields, and values that Monday has otherwise.
    "monday_rejected": "Monday rejected “{value}”: {quote}. {advice}",
    "choose_another_value": "Choose another value.",
    "value_unreadable": "Its value on Monday can't be read: {quote}.",
    "value_unknown": "Monday's value is not known: {quote}.",
    "value_unknown_fix": "Its value on Monday is not known: {quote}. Fix it there, or choose another column.",
    "last_value_unknown": "The last synced value is not known any more: {quote}.",
    "npd_value_unsendable": "NPD's value can't be sent: {quote}.",
    "npd_cannot_take": "NPD can't take Monday's value: {quote}. Correct it on the board.",
    "lists_not_merged": "The lists can't be merged: {quote}. Change that element on either side.",
    "required_but_emptied": "It is empty on Monday, but it is required in NPD. Fill it in on either side.",
    "required_but_empty": "The result is empty, but it is required in NPD. Fill it in on either side.",
    "changed_on_monday_too": "It was changed on Monday too, so it was not sent. Turn sync on to resolve it.",
    "clear_waits": "It was emptied {emptied}, with the fields of many records within an hour. It still says “{value}” "
    "{filled}, and is emptied there when somebody approves it on Home. Or fill it in again.",
    "refill_waits": "It is empty on Monday, and nobody is known to have emptied it. NPD has “{value}”. Choose on "
    "Home: “Fill in again”, or “Empty in NPD too”.",
    "kept_one_way": "Somebody decided that “{value}” stays {filled}; its direction lets nothing be put back "
    "{emptied}. Fill it in there, or change the direction.",
    "swallowed_once": "Monday took “{value}” without an error, but still has “{shown}”. It is sent once more.",
    "swallowed_twice": "Monday took “{value}” without an error, but still has “{shown}”. It was sent twice. Change it "
    "on either side, or press “Sync now”.",
    "stored_lossless": "Monday stored “{sent}” as “{stored}”. Nothing is lost.",
    "stored_differently": "Monday stored “{sent}” as “{stored}”. Change it on either side.",
    # Relations.
    "the_related": "the {kind} “{name}”",
    "related_missing": "No {kind} in NPD is called “{name}”. Add it in NPD, or correct the name on the board.",
    "related_ambiguous": "{number} {kinds} in NPD are called “{name}”. Choose the right one in NPD.",
    "related_deleted": "The {kind} “{name}” was deleted in NPD.",
    "related_item_unknown": "On Monday it is the item {item}, which no {kind} in NPD has yet. NPD is updated as soon "
    "as one has it.",
    "related_item_removed": "The item of the {kind} “{name}” left its board, so Monday doesn't show it here any more. "
    "NPD keeps what it has. First decide what happens to the {kind}, or choose another here.",
    "related_without_board": "There is no board for {related} on Monday, so it has no item. The relation is not sent.",
    "related_left_out": "The filter leaves {related} out, so it has no item. The relation is not sent.",
    "related_sync_off": "Sync is off for {related}, so it has no item on Monday. The relation is not sent.",
    "related_only_to_npd": "Nothing of {related} is sent to Monday, so it has no item. The relation is not sent.",
    "related_awaited": "It waits for {related} to get its item on Monday, and is sent then by itself.",
    # Why a choice, or its undo, was not carried out.
    "stale_resolution": "The values changed after you chose. Check them and choose again.",
    "resolution_not_saved": "Your resolution could not be saved: {why}",
    "cancelled_saving": "{by} cancelled the job that would have saved it.",
    "cancelled_carrying_out": "{by} cancelled the job that would have carried it out.",
    "choice_item_removed": "The item left the board, so nothing could be written. First decide what happens to the "
    "record.",
    "choice_one_way": "“{label}” now comes from {side} only, so only {side}'s value can be chosen. Change the "
    "direction first.",
    "choice_without_base": "It was never synced with this column, so there is no last synced value. Choose another.",
    "restore_without_base": "There is no last synced value.",
    "restore_one_way": "The field is synced one way only; change its direction first.",
    "undo_unmapped": "The field is no longer mapped to a column, so nothing was restored.",
    "undo_value_unknown": "A previous value is no longer known: {quote}.",
    "undo_item_changed": "Its item or the field's column has changed since, so nothing was restored.",
    "undo_one_way": "{label} is synced one way only now, so nothing was restored.",
    "undo_in_conflict": "It is in conflict again already. Resolve that conflict.",
    "undo_npd_changed": "NPD's value has changed since, so nothing was restored.",
    "undo_monday_changed": "Monday's value has changed since, so nothing was restored.",
    "undo_npd_rejects": "NPD rejects the previous value: {quote}",
    "undo_monday_rejects": "Monday rejects the previous value: {quote}",
    "undo_swallowed": "Monday didn't store the previous value, though it was sent twice.",
    "undo_item_removed": "The item left the board, so nothing was restored. First decide what happens to the record.",
    "undone_joined": "It is in conflict again, together with other fields of the record.",
    "nothing_restored": "Nothing was restored.",
    # Why a conflict is open, or closed by itself.
    "resolution_undone": "Changed on both sides: its resolution was undone.",
    "overruled_npd": "The choice that overruled NPD's value could not be undone any more.",
    "overruled_monday": "The choice that overruled Monday's value could not be undone any more.",
    "npd_value_was": "NPD's value was then: {value}.",
    "value_was_replaced": "{label} “{value}” was in the column that was replaced.",
    "column_replaced": "The column was replaced. What it had on Monday is asked about as an overwritten edit.",
    "resolved_by_rule": "It was resolved: {rules:; }.",
    "left_by_rule": "{rule:capital}.",
    "both_the_same": "Both sides say the same now.",
    "closed_by_then": "The conflict had closed by then.",
    "field_unmapped": "The field is not mapped to a column any more.",
    "all_unmapped": "None of its fields is mapped to a column any more.",
    "has_no_item": "The record has no item any more.",
    "record_was_deleted": "The record was deleted in NPD.",
    "record_was_unlinked": "The record was unlinked from its item.",
    "item_is_back": "The item is on the board again.",
    "item_is_known": "It is now known which item it is.",
    "board_left": "The records are synced with another board now.",
    # Removed items.
    "item_removed": "The item “{name}” was {state} on Monday.",
    "item_removed_by": "The item “{name}” was {state} by {actor}.",
    "item_moved": "The item “{name}” is on another board now ({board}).",
    "item_missing": "Monday doesn't show the item of “{name}” any more: it may be deleted permanently, or hidden from "
    "NPD Sync's user on Monday.",
    "missed_edit": "It was changed on Monday before the item left the board, and never synced.",
    "removed_too_often": "It was created several times within a day, and removed each time: look for an automation on "
    "the board that archives or deletes it.",
    "edited_since_sync": "Edited since the last sync: {fields}.",
    "nothing_edited": "Nothing was edited since the last sync.",
    "fields_unreadable": "These fields can't be read on Monday and may have edits: {fields}.",
    "nothing_sent": "Nothing was sent.",
    "nothing_changed_or_sent": "Nothing was changed in NPD, and nothing is sent.",
    "asked_about_removal": "You are asked what happens to the record.",
    "deletion_needs_approval": "So many records would be deleted at once that this waits for approval on Home.",
    "deletion_not_approved": "Deleting this record was not approved.",
    "its_item_was": "its item was {event}, {by_whom}",
    "as_somebody_decided": "as somebody decided",
    "as_the_setting_says": "as this board's setting says",
    "recreated": "The record stays, and its item is created again with NPD's values.",
    "recreated_next": "Its item is created again at the next sync.",
    "left_with_that": "the item left the board with that.",
    "left_with_deleted_record": "the item left the board with that, because its record was deleted in NPD. Once the "
    "record is restored, that can be undone here.",
    "needs_record": "{others} in NPD can't be without “{record}”.",
    "deleted_with_record": "{others} in NPD would be deleted with “{record}”.",
    "would_lose_record": "{others} in NPD would no longer name it.",
    "label_create_item": "Keep the record and create its item again",
    "effect_create_item": "NPD Sync creates a new item with NPD's values, and links it with “{name}”. To get the old "
    "item back instead, {instead}: this question then closes by itself.",
    "get_back_archived": "restore it from Monday's archive",
    "get_back_deleted": "restore it from Monday's recycle bin within {days} days",
    "get_back_moved": "move it back",
    "get_back_missing": "let NPD Sync's user on Monday see it again",
    "label_delete_record": "Delete the record in NPD too",
    "effect_delete_record": "NPD Sync deletes “{name}” in NPD, with all that was edited there.[[ {loss}]] You can "
    "restore it for {days} days, under “Deleted records”.",
    "label_unlink": "Keep the record and end its sync",
    "effect_unlink": "“{name}” stays in NPD as it is, with its sync off. The item is unlinked: if somebody restores "
    "it, it becomes no record by itself.",
    # Deleted records.
    "because_no_item": "Deleted in NPD. It had no item on Monday.",
    "because_other_owner": "Deleted in NPD. Its item now belongs to “{owner}”, so nothing is sent.",
    "because_other_npd_id": "Deleted in NPD. Its item “{item}” now has the NPD ID of “{owner}”, so nothing is sent.",
    "because_sync_off": "Deleted in NPD. Its sync was off, so its item stays on Monday as it is.",
    "because_left_out": "Deleted in NPD. {filter} Its item stays on Monday as it is.",
    "because_one_way": "Deleted in NPD. Its direction didn't allow sending, so its item stays on Monday as it is.",
    "because_moved": "Deleted in NPD. Its item “{item}” was moved to another board ({board}); it stays there.",
    "because_not_shown": "Deleted in NPD. Monday doesn't show its item any more; nothing is left to do.",
    "because_removed_before": "Deleted in NPD. Its item “{item}” was {state} on Monday already.",
    "because_removed_meanwhile": "Deleted in NPD. {error} Nothing is left to do.",
    "because_archived": "Deleted in NPD, so its item “{item}” was archived on Monday. People can restore it from the "
    "board's archive.",
    "because_deleted": "Deleted in NPD, so its item “{item}” was deleted on Monday. People can restore it from "
    "Monday's recycle bin, for 30 days.",
    "because_unlinked": "Deleted in NPD. Its item “{item}” stays on the board and was unlinked: no new record is "
    "created from it.",
    "because_removal_rejected": "Deleted in NPD. A person rejected the removal of its item, so the item stays as it "
    "is.",
    "because_pending_approval": "Deleted in NPD. Its item waits for approval on Home.",
    "because_erased": "This person was erased: nothing of the record is kept, and it can't be restored.",
    "because_question": "“{record}” was deleted in NPD. What should become of its item {item}?",
    "its_item": "its item",
    "because_question_edited": "“{record}” was deleted in NPD, but its item {item} was edited on Monday after the "
    "last sync.",
    "because_question_restored": "“{record}” was deleted in NPD and its item left the board, but somebody restored "
    "the item {item}. Should the record come back too?",
    "deleted_item_not_shown": "Deleted in NPD. Monday doesn't show its item. NPD Sync looks for it again in a few "
    "minutes.",
    "item_not_removed": "Deleted in NPD. Its item could not be removed from the board: {why}",
    "item_being_linked": "Another record is being linked with its item.",
    "edits_in_activity": "What was edited there before is in its activity: {fields}.",
    "deleted_since_choice": "The record was deleted in NPD since you chose. Choose again.",
    "record_there_again": "The record is there again.",
    "restored_with_item": "Restored as somebody decided, with what was edited on Monday.",
    "restored_without_item": "Restored as somebody decided, as it was when it was deleted: its item has left the "
    "board meanwhile, so it gets a new one. What was edited there is in the conflict.",
    "label_archive_item": "Archive the item",
    "label_archive_item_again": "Archive the item again",
    "effect_archive_item": "The deletion stays. The item leaves the board; people can restore it on Monday.",
    "label_delete_item": "Delete the item",
    "label_delete_item_again": "Delete the item again",
    "effect_delete_item": "The deletion stays. The item leaves the board; people can restore it on Monday for 30 days.",
    "label_restore_record": "Restore the record",
    "effect_restore_record": "The record comes back as it was, linked with its item, and is updated with what was "
    "edited on Monday.",
    "label_unlink_item": "Unlink the item",
    "effect_unlink_item": "The record stays deleted; the item stays on the board without an NPD ID, and becomes no "
    "new record.",
    # “Who is this?”
    "who_is_this": "Who is this? {question}",
    "answer_there": "Answer it among the conflicts.",
    "answer_or_make_unique": "Answer it among the conflicts; or make the email or name unique, or fill in the item's "
    "NPD ID.",
    "unanswered": "Nothing is created until somebody answers.",
    "answer_first": "NPD Sync first applies a person's answer, and syncs the rest next.",
    "linked_differs_next": "It was linked with its item; what differs is synced next.",
    "not_possible_any_more": "This is not possible any more. Choose another option.",
    "item_edited_after_choice": "The item was edited after you chose. Check the current values, then choose again.",
    "record_edited_after_choice": "The record was edited after you chose. Check the current values, then choose again.",
    "edited_since_asked": "Edited since this was asked: {edits:, }.",
    "is_now": "{label} is “{value}” now",
    "other_comes_first": "“{other}” has the same {key}, and gets an item first. You are then asked whether this is "
    "the same, unless the {key} is changed.",
    "key_of_item_unreadable": "{key} of the item “{item}” on the board can't be read, so it isn't known whether it is "
    "this record's. Nothing is created meanwhile. Check the column's type and that NPD Sync's user may see it, then "
    "run the set-up again (Boards, “Set up…”).",
    "npd_id_of_item_unreadable": "The NPD ID of the item “{item}” on the board can't be read, so it isn't known "
    "whether it is this record's. Nothing is created meanwhile. Check that it is a text column that NPD Sync's user "
    "may see.",
    "could_be": "The item “{item}” could be {names}.",
    "could_be_linked": "The item “{item}” could be {names}. {linked} has an item already.",
    "could_be_linked_ones": "The item “{item}” could be {names}. {linked} have an item already.",
    "two_look_like": "Two items look like {names}. Are they one {kind}? One is linked with it; the other waits for "
    "your answer.",
    "items_could_be": "{number} items on the board could be this {kind}.",
    "fitting_item_taken": "The item that fits already belongs to another {kind}.",
    "namesake": "An item on the board has the name of “{record}”, but {key} doesn't tell whether they are the same.",
    "namesakes": "{number} items on the board have the name of “{record}”, but {key} doesn't tell whether they are "
    "the same.",
    "unplanned": "“{record}” was in NPD when the board was set up, and the plan had no new item for it.",
    "had_this_item": "“{record}” had this item before. {why}",
    "is_it_a_copy": "The item “{item}” had the NPD ID of “{record}”, which already has another item. NPD Sync removed "
    "the NPD ID from this one. Are they one {kind}?",
    "same_key": "“{record}”, which was made from an item on the board, has the same {key} as {names}.",
    "label_link": "It is “{name}”",
    "label_link_item": "It is “{name}” ({item})",
    "effect_link": "“{record}” is linked with the item “{item}”; what differs is synced field by field.",
    "effect_link_item": "“{record}” is linked with this item; what differs is synced field by field.",
    "label_relink": "Link it with that item again",
    "effect_relink": "“{record}” and the item {item} sync as before; what changed since is synced or asked about.",
    "label_merge": "The same as “{other}”: delete “{record}”",
    "label_merge_made": "The same as “{other}”, made from the item: delete that",
    "effect_merge": "The record “{record}” is deleted in NPD, and its item is linked with “{other}”.",
    "effect_merge_both": "The record “{record}” is deleted in NPD, and its item with it as the board's setting says. "
    "“{other}” keeps its own item.",
    "effect_two_records": "Both records stay, and you are not asked again.",
    "effect_new_record": "A new record is created from “{item}” and linked with it.",
    "effect_new_record_beside": "A new record is created from the item “{item}” and linked with it; “{record}” stays "
    "as it is.",
    "effect_new_item": "A new item is created for “{record}”; what is on the board stays as it is.",
    "effect_leave_alone": "This item stays on the board and is not synced.",
    "label_leave_second": "They are one {kind}: leave this item alone",
    "effect_leave_second": "“{record}” keeps its item. This item stays on the board and is not synced.",
    "effect_leave_copy": "The item “{item}” stays on the board and is not synced.",
    "label_archive_copy": "It is a copy: archive it",
    "effect_archive_copy": "The item “{item}” is archived on Monday; “{record}” keeps the item that it has. What was "
    "written into the copy alone stays in Monday's archive.",
    "answered_link": "Linked “{record}” with the item {item}, as somebody decided.",
    "answered_same_name": "Linked “{record}” with the item {item}, as somebody decided.",
    "answered_new_item": "None of them: it gets a new item.",
    "answered_two_records": "They are two; both stay.",
    "answered_leave_alone": "The item is left alone.",
    "answer_not_done": "It could not be done: {why}",
    "merged": "“{merged}” was the same as “{record}”: it was deleted in NPD, and its item with it as the board's "
    "setting says.",
    "merged_with_item": "“{merged}” was the same as “{record}”: it was deleted in NPD, and its item {item} is the "
    "item of “{record}” now.",
    "merged_edited": "“{record}” was edited since this was asked. Look at its values, then choose again.",
    "merged_changed": "“{record}” was changed in NPD meanwhile, so it isn't deleted. Choose again.",
    "one_was_deleted": "one of the two records was deleted meanwhile.",
    "chosen_was_deleted": "That record was deleted meanwhile.",
    "chosen_has_item": "“{record}” now has another item.",
    "chosen_sync_off": "Sync is off for “{record}”. Turn it on, then choose again.",
    "item_belongs_to": "The item now belongs to “{owner}”.",
    "could_belong_to_another": "The item “{item}” could be another record's now.",
    # A second item with a record's NPD ID.
    "copy_archived": "The item “{item}” was a copy of “{record}”; it was archived on Monday.",
    "second_item_cleared": "A second item “{item}” had this NPD ID. It was removed from that one; the link stays.",
    "second_item_of_ours": "A second item “{item}” was on the board, created by a call whose answer was lost; nobody "
    "had touched it, so it was archived.",
    "second_item_gone": "A second item “{item}” had this NPD ID; it is not on the board any more.",
    "copy_is_the_last": "The item of “{record}” has left the board, so this copy is its last one. It was not archived.",
    "copy_edited": "The item “{item}” was edited since this was asked. It was not archived: choose again.",
    # What becomes of an item without a record.
    "record_created": "Created from the item “{item}” on the board.",
    "item_linked_by_person": "Linked with the item “{item}”, as somebody decided.",
    "took_its_place": "Its item left the board; “{item}” has its NPD ID, and is its item now.",
    "linked_with": "Linked with {record}.",
    "became": "Became {record}.",
    "not_linked": "It could not be linked.",
    "has_another_item_now": "It is linked with another item now.",
    "no_such_item": "There is no such active item on the board.",
    "item_of_other_kind": "It is the item of the {kind} “{owner}”, moved here. Home asks what to do with it.",
    "item_of_owner_by_now": "It is the item of “{owner}” by now.",
    "is_ignored": "It is ignored: {why}",
    "created_after": "If nobody fills it in, a {type} is created from it {after} after it appeared.",
    "problem_of_field": "{label}: {quote}",
    "npd_id_of_left_out": "It has the NPD ID of “{record}”, which the filter leaves out. Both items keep it.",
    "about_who_would_get_it": "This is about “{record}”, which would get the item.",
    "record_would_not_match": "A record created from it would not match, so none was created.",
    "original_left_unsynced": "“{item}”, the item of “{record}”, left the board with values that were never synced. "
    "First decide what happens to the record.",
    "a_record": "a record",
    "belongs_to_deleted": "It belongs to “{record}”, which was deleted in NPD.",
    "item_stays": "The item stays, and becomes no new record.",
    "decided_by_this_sync": "This sync decided what happens to it.",
    "left_as_we_know": "It has left the board, as far as we know.",
    "first_item_first": "NPD Sync first decides about its first item.",
    "synced_with_that": "It is synced with that record.",
    "over_item_removed": "The item “{item}” was {state} on Monday, so there is nothing to ask any more.",
    "over_ignored": "The item “{item}” is ignored, so there is nothing to ask any more.",
    "over_linked": "The item “{item}” was linked with “{record}”, so there is nothing to ask any more.",
    "over_new_record": "“{item}” became a record of its own, so there is nothing to ask any more.",
    "nothing_asked": "Nothing is asked about “{item}” any more.",
    "no_record_created": "No record was created from the item “{item}”.",
    "not_deleted_too": "{removal} It can't be deleted in NPD: {why}",
    "unlinked_by_answer": "The record stays in NPD; its sync is off, and its item was unlinked.",
    # Why an item becomes no record.
    "unmatched_queued": "NPD Sync has found it on the board and checks it next.",
    "unmatched_unconfirmed": "Monday hasn't confirmed yet what NPD Sync did with it.",
    "unmatched_being_edited": "Somebody is still filling it in.",
    "unmatched_no_key_yet": f"{UnmatchedReason.NO_KEY_YET.label}.[[ {{then}}]]",
    "unmatched_no_key": f"{UnmatchedReason.NO_KEY.label}. On this board, new items don't become {{types}} by "
    "themselves.",
    "unmatched_key_unreadable": "Its {label} can't be read.",
    "unmatched_npd_id_unreadable": "Its NPD ID can't be read.",
    "unmatched_ambiguous": "It could be {names}. Answer “Who is this?” among the conflicts.",
    "unmatched_duplicate": "A copy: it had the NPD ID of {names}.",
    "unmatched_sync_off": "It has the NPD ID of {names}, whose sync is off.",
    "unmatched_invalid": "No record can be created from it: {problems}",
    "unmatched_unplanned": "It was on the board before its set-up, whose plan has no new {type} for it.",
    "unmatched_record_deleted": "{problems}",
    "unmatched_database_rejected": "NPD's database rejected it: {problems}",
    "unmatched_left_out": "{filter}",
    "unmatched_creates_held": "Items on the board have no {label}, so nothing new is created. See the board's page.",
    "unmatched_creation_off": "No {type} has its {label}. On this board, new items don't become {types} by themselves.",
    "filter_leaves_item_out": "The filter of what is synced leaves it out.",
    "not_the_item_of": "A person said that it is not the item of “{record}”.",
    "not_needed": "A person said that NPD doesn't need it.",
    "record_of_its_own": "A person said that it is a record of its own.",
    "is_a_copy": "A person said that it is a copy.",
    "person_erased": "Its person was erased in NPD.",
    "unlinked_from_deleted": "Its record “{record}” was deleted in NPD, and the item was unlinked.",
    "item_unlinked": "Unlinked from “{record}”: {why}.",
    "item_stayed": "It belonged to “{record}”, which was deleted in NPD on {day}; its item stayed.",
    "ignored_by": "{by} ignored it.",
    "left_by_deleted": "It was not known yet whether it is “{record}” when that record was deleted in NPD.",
    # A board as a whole.
    "log_not_asked": "What changed on the board could not be asked.",
    "log_silent": "Monday's activity log has shown no change since {since}, although {source} brought some. So what "
    "webhooks miss is found at night only. Check that NPD Sync's user on Monday may see the log.",
    "comparison_unfinished": "It is not finished: it is under way, or was cut short, and the next night makes it "
    "again.",
    "comparison_failed": "The comparison could not be finished. {why} It is made again the next night.",
    "compared": "{items} on the board, {linked:,} of them linked: {differences}.",
    "item_not_shown": "Monday doesn't show its item.",
    "differs": "{label}: NPD says “{npd}”, Monday “{monday}”, last synced was “{agreed}”.",
    "differs_unsynced": "{label}: NPD says “{npd}”, Monday “{monday}”; it was never synced.",
    "listing_short": "Monday lists {listed:,} of the board's {number:,} items, for two nights now, so nothing is "
    "concluded from what is missing. Check that NPD Sync's user on Monday sees all of the board's items.",
    "items_unreadable": "Monday answers an error for {items}, so nothing of that is compared. Open it on the board "
    "and look for a value that can't be right. It is tried again, alone, the next night.",
    "webhooks_unreadable": "The board's webhooks could not be read. Give the API token the scope webhooks:read.",
    "webhooks_unregistered": "{board}: the webhooks could not be registered. {quote}. Monday must reach this site at "
    "{url}: have an administrator see to it, then run the set-up again. Everything else is done.",
    "webhook_address": "{board}: {quote} An administrator has to shorten this site's address.",
    "webhooks_refused": "Monday's webhooks are refused, and {none} was accepted: “{quote}” Until then edits arrive by "
    "the check for missed changes, some minutes later.",
    "webhooks_fell_silent": "People changed the board {times:,} times since the last webhook came. " + _SILENT,
    "webhooks_never_came": "People changed the board {times:,} times, but no webhook ever came. " + _SILENT,
    # The sync as a whole.
    **{f"stopped_{code}": f"Sync stopped: {code.label}." for code in StopCode},
    "refused_all": "Sync stopped: {board}. {error}",
    **{f"refused_{kind}": f"{kind.label}: {{board}}. {{error}}" for kind in CallKind},
    "runs_again": "The sync runs again[[: {board}]].",
    "paused": "Paused{end}: {board}.[[ {why}]]",
    "resumed": "Resumed: {board}.",
    # A board's columns.
    "column_changed": "{board}: {happened}: {label}, {records}.",
    "no_column": "It has no column on the board. Choose or create one on the board's page.",
    "column_usable": "{column} can be used again",
    "column_missing": "{column} was deleted, or is hidden from NPD Sync's user on Monday",
    "column_retyped": "{column} is of the type {type} now; it was {former}",
    "column_problem": "{happened}. The field is blocked: edits are kept on both sides, and synced once it has a "
    "column again.",
    "column_hidden": "{column} is on the board, but Monday doesn't show its values to NPD Sync's user. The field is "
    "blocked: edits are kept on both sides. Give the user the right to see the column, or choose another one on the "
    "board's page.",
    "npd_id_missing": "The column “{title}” ({id}), which holds the NPD ID, was deleted, or is hidden from NPD Sync's "
    "user on Monday. " + _NPD_ID,
    "npd_id_retyped": "The column “{title}” ({id}), which holds the NPD ID, is of the type {type} now. " + _NPD_ID,
    "creates_held": "{items} no NPD ID, and “{title}”, by which NPD Sync recognizes records, is empty for all of "
    "them. So they become no records, and records get no new items: people could be there twice. Fill in “{title}” "
    "on Monday, or choose another column (Boards, “Set up…”), or press “Create new ones anyway” on the board's page.",
}
