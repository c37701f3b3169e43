"""Every sentence that is stored, by its code: lines of activity, reasons, notes, questions.

`{name}` is a value or another message; `{name:quoted}` a value in quotation marks on one line, or “(empty)”;
`{name:value}` the same uncut, or “empty”; `{name:because}` a reason after a colon, or a full stop. `[[…]]` is left out
unless each value in it is given.
"""

from collections.abc import Mapping

from sync.choices import UnmatchedReason
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
    "unworded": "{sentence}",
    # Monday's refusals (sync/monday/errors.py), in Monday's words or ours.
    "monday_error": "{quote}[[ (column {column})]].[[ {advice}]][[ [Monday request {request}]]]",
    **{f"advice_{kind}": kind.advice for kind in errors.KINDS.values()},
    # Values that moved.
    "transfer": "{label} “{after}”[[ (was “{before}”)]] {way}[[: {reason}]].",
    "way_sent": "sent to Monday",
    "way_refilled": "filled into the new column",
    "way_filled_again": "filled in again on Monday",
    "way_pulled": "updated from Monday",
    "way_both": "written on both sides",
    "value_rejected": "{label} rejected: {quote}.",
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
    "unlinked": "Unlinked from its item: {why}. Its sync is off; both sides keep what they have. “Link again” on "
    "the record's page undoes it.",
    "deleted_too": "{removal} So it was deleted in NPD too, {decided_by}.",
    # The filter.
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
    "own_fault": "NPD Sync itself failed on this record ({error}). Please report it with the worker's log.",
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
    "refill_waits": "It is empty on Monday, and nobody is known to have emptied it. NPD has “{value}”. Choose on Home: "
    "“Fill in again”, or “Empty in NPD too”.",
    "kept_one_way": "Somebody decided that “{value}” stays {filled}; its direction lets nothing be put back {emptied}. "
    "Fill it in there, or change the direction.",
    "swallowed_once": "Monday took “{value}” without an error, but still has “{shown}”. It is sent once more.",
    "swallowed_twice": "Monday took “{value}” without an error, but still has “{shown}”. It was sent twice. Change it "
    "on either side, or press “Sync now”.",
    "stored_lossless": "Monday stored “{sent}” as “{stored}”. Nothing is lost.",
    "stored_differently": "Monday stored “{sent}” as “{stored}”. Change it on either side.",
    # Relations.
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
    "resolved_by_rule": "It was resolved: {rule}.",
    "left_by_rule": "{rule}.",
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
    "items_unreadable": "Monday answers an error for {items}, so nothing of that is compared. Open it on the board and "
    "look for a value that can't be right. It is tried again, alone, the next night.",
    "webhooks_unreadable": "The board's webhooks could not be read. Give the API token the scope webhooks:read.",
    "webhooks_unregistered": "{board}: the webhooks could not be registered. {quote}. Monday must reach this site at "
    "{url}: have an administrator see to it, then run the set-up again. Everything else is done.",
    "webhook_address": "{board}: {quote} An administrator has to shorten this site's address.",
    "webhooks_refused": "Monday's webhooks are refused, and {none} was accepted: “{quote}” Until then edits arrive by "
    "the check for missed changes, some minutes later.",
    "webhooks_fell_silent": "People changed the board {times:,} times since the last webhook came. " + _SILENT,
    "webhooks_never_came": "People changed the board {times:,} times, but no webhook ever came. " + _SILENT,
    # The sync as a whole.
    "stopped": "Sync stopped: {why}.",
    "stopped_board": "{why}: {board}. {error}",
    "runs_again": "The sync runs again[[: {board}]].",
    "paused": "Paused{end}: {board}.[[ {why}]]",
    "resumed": "Resumed: {board}.",
    # A board's columns.
    "column_changed": "{board}: {happened}: {label}, {records}.",
    "no_column": "It has no column on the board. Choose or create one on the board's page.",
    "column_usable": "{column} can be used again",
    "column_missing": "{column} was deleted, or is hidden from NPD Sync's user on Monday",
    "column_retyped": "{column} is of the type {type} now; it was {former}",
    "column_problem": "{happened}. The field is blocked: edits are kept on both sides, and synced once it has a column "
    "again.",
    "column_hidden": "{column} is on the board, but Monday doesn't show its values to NPD Sync's user. The field is "
    "blocked: edits are kept on both sides. Give the user the right to see the column, or choose another one on the "
    "board's page.",
    "npd_id_missing": "The column “{title}” ({id}), which holds the NPD ID, was deleted, or is hidden from NPD Sync's "
    "user on Monday. " + _NPD_ID,
    "npd_id_retyped": "The column “{title}” ({id}), which holds the NPD ID, is of the type {type} now. " + _NPD_ID,
    "creates_held": "{items} no NPD ID, and “{title}”, by which NPD Sync recognizes records, is empty for all of them. "
    "So it creates nothing new on either side: everybody could be there twice. Fill in “{title}” on Monday, or choose "
    "another column (Boards, “Set up…”), or press “Create new ones anyway” on the board's page.",
}
