"""Sentences that are stored with conflicts and batches, the codes beside them, and how pages name a batch's states."""

WAITING, APPLYING, SETTLED, HANDED_BACK = "waiting", "applying", "settled", "handed_back"
LEFT_OUT, UNDOING, UNDONE, NOT_UNDONE = "left_out", "undoing", "undone", "not_undone"

STATUS_LABELS = {
    WAITING: "waiting to be saved",
    APPLYING: "being applied",
    SETTLED: "resolved",
    HANDED_BACK: "returned",
    LEFT_OUT: "left out",
    UNDOING: "being undone",
    UNDONE: "undone, open again",
    NOT_UNDONE: "not undone",
}

# Why a conflict of a batch came back, or was not undone.
NO_ACCOUNT = "Whoever asked for this has no account any more, so nothing was done in their name. Do it again."
RESOLVED_OTHERWISE = "It has been resolved in another way since. Undo that on its own page."
NOT_APPLIED = "The resolution was returned without being applied, so there is nothing to undo. It is open in the list."
INTERNAL_FAILURE = "NPD failed here (%(error)s; the worker's log has more). Resolve it on its own page."
ALREADY_REOPENED = "It is open again already, so there is nothing to undo. Choose a value in it."

# What became of one field of a conflict.
OVER_BEFORE = "The conflict closed before it could be."
JOINED_ANOTHER = "It is in conflict again, together with other fields of the record."
JOINED_ANOTHER_CODE = "joined_another"
"""The code of that sentence: the field was undone, although its own conflict stays settled."""
