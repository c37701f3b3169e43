"""Sentences that are stored with conflicts and batches, the codes beside them, and how pages name a batch's states."""

from sync.kernel.conflict_store import (
    KIND_DELETE,
    KIND_DELETED_RECORD,
    KIND_LOST_UPDATE,
    KIND_REPLACED,
    KIND_RESTORED_ITEM,
    OptionAct,
)

WAITING, APPLYING, SETTLED, HANDED_BACK = "waiting", "applying", "settled", "handed_back"
LEFT_OUT, UNDOING, UNDONE, NOT_UNDONE = "left_out", "undoing", "undone", "not_undone"
OVERTAKEN = "overtaken"

STATUS_LABELS = {
    WAITING: "waiting to be saved",
    APPLYING: "being applied",
    SETTLED: "resolved",
    OVERTAKEN: "closed by itself",
    HANDED_BACK: "returned",
    LEFT_OUT: "left out",
    UNDOING: "being undone",
    UNDONE: "undone, open again",
    NOT_UNDONE: "not undone",
}

# What is said of a choice.
VALUE_LABELS = {
    "npd": "NPD's value",
    "base": "the last synced value",
    "monday": "Monday's value",
    "custom": "a typed value",
    "auto": "closed by itself",
    "anew": "now a question of its own",
}

LOST_UPDATE_LABELS = {**VALUE_LABELS, "npd": "the value on both sides", "monday": "the overwritten value"}

# What both sides have now and what was lost, by why: what the two are called, and what choosing either does.
LOST_SIDES = {KIND_LOST_UPDATE: ("Now", "Overwritten"), KIND_REPLACED: ("Now", "In the old column")}
KEEP_CURRENT = "Keep current value"
RESTORE_LOST = {KIND_LOST_UPDATE: "Restore edit", KIND_REPLACED: "Restore old value"}
LOST_OUTCOMES = {
    KIND_LOST_UPDATE: ("the current value is kept", "the overwritten edit is restored"),
    KIND_REPLACED: ("the current value is kept", "the old column's value is used"),
}

DELETION_LEADS = {
    KIND_DELETE: "Nothing is changed until somebody chooses here, or the items are back on the board.",
    KIND_DELETED_RECORD: "The items stay on the board as they are until somebody chooses: restore the records, or "
    "remove or unlink the items.",
    KIND_RESTORED_ITEM: "The items had left the board with their records, and somebody restored them there. Nothing is "
    "changed until somebody chooses: restore the records, too, or remove or unlink the items.",
}
"""What is said above questions about deletions, by what happened."""

# What a bulk resolution does that is about records as a whole: what it is called, and how to go back.
BULK_TITLES: dict[str, str] = {
    OptionAct.CREATE_ITEM: "Create %(items)s again on Monday",
    OptionAct.RESTORE_RECORD: "Restore %(records)s in NPD",
    OptionAct.DELETE_RECORD: "Delete %(records)s in NPD",
    OptionAct.ARCHIVE_ITEM: "Archive %(items)s on Monday",
    OptionAct.DELETE_ITEM: "Delete %(items)s on Monday",
    OptionAct.UNLINK: "Unlink %(records)s",
}
ACT_LABELS = {
    OptionAct.CREATE_ITEM: "Create again",
    OptionAct.RESTORE_RECORD: "Restore",
    OptionAct.DELETE_RECORD: "Delete",
    OptionAct.ARCHIVE_ITEM: "Archive item",
    OptionAct.DELETE_ITEM: "Delete item",
    OptionAct.UNLINK: "Unlink",
}
ACT_EFFECTS = {
    OptionAct.CREATE_ITEM: "Creates a new item on Monday from what NPD holds.",
    OptionAct.RESTORE_RECORD: "Restores the record in NPD, linked with its item.",
    OptionAct.DELETE_RECORD: "Deletes the record in NPD.",
    OptionAct.ARCHIVE_ITEM: "Archives the item on Monday.",
    OptionAct.DELETE_ITEM: "Deletes the item on Monday.",
    OptionAct.UNLINK: "Leaves both sides as they are, and syncs them no more.",
}
WAYS_BACK: dict[str, str] = {
    OptionAct.CREATE_ITEM: "To go back, archive the new items on the board.",
    OptionAct.RESTORE_RECORD: "To go back, delete the records again.",
    OptionAct.DELETE_RECORD: "To go back, restore them from “Deleted records”, within 30 days.",
    OptionAct.ARCHIVE_ITEM: "To go back, restore the items from Monday's archive.",
    OptionAct.DELETE_ITEM: "To go back, restore the items from Monday's recycle bin, within 30 days.",
    OptionAct.UNLINK: "To go back, link each again on its record's page.",
}

PLAN_LINES = {
    "npd": ("value in NPD is written", "values in NPD are written"),
    "monday": ("column value on Monday is written", "column values on Monday are written"),
    "npd_emptied": ("value in NPD is emptied", "values in NPD are emptied"),
    "monday_emptied": ("column value on Monday is emptied", "column values on Monday are emptied"),
    "npd_deleted": ("record is deleted in NPD", "records are deleted in NPD"),
    "npd_created": ("record is restored in NPD", "records are restored in NPD"),
    "monday_deleted": ("item on Monday is archived or deleted", "items on Monday are archived or deleted"),
    "monday_created": ("item is created again on Monday", "items are created again on Monday"),
    "unlinked": ("record or item is unlinked", "records or items are unlinked"),
}
"""What a plan counts, in the words of its page: of one, of several."""

# Why a conflict of a batch came back, or was not undone.
NO_ACCOUNT = "Whoever asked for this has no account any more, so nothing was done in their name. Do it again."
RESOLVED_OTHERWISE = "It has been resolved in another way since. Undo that on its own page."
NOT_OFFERED = "This option is not possible there. Open it to see which are."
NOT_APPLIED = "The resolution was returned without being applied, so there is nothing to undo. It is open in the list."
INTERNAL_FAILURE = "NPD failed here (%(error)s; the worker's log has more). Resolve it on its own page."
ALREADY_REOPENED = "It is open again already, so there is nothing to undo. Choose a value in it."

# What became of one field of a conflict.
OVER_BEFORE = "The conflict closed before it could be."
JOINED_ANOTHER = "It is in conflict again, together with other fields of the record."
JOINED_ANOTHER_CODE = "joined_another"
"""The code of that sentence: the field was undone, although its own conflict stays settled."""
