"""Sentences that are stored with conflicts or shown of them, and the codes beside them."""

from conflicts.reports import KIND_DELETE, KIND_DELETED_RECORD, KIND_LOST_UPDATE, KIND_REPLACED, KIND_RESTORED_ITEM

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

# What became of one field of a conflict.
OVER_BEFORE = "The conflict closed before it could be."
JOINED_ANOTHER = "It is in conflict again, together with other fields of the record."
