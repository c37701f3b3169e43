"""The words of what the engine stores for good: a code for logic, and for people its one sentence."""

from __future__ import annotations

from enum import StrEnum


class TombstoneReason(StrEnum):
    """Why the item of a deleted record is as it is, or what is asked about it."""

    NO_ITEM = "no_item"
    OTHER_OWNER = "other_owner"
    OTHER_NPD_ID = "other_npd_id"
    SYNC_OFF = "sync_off"
    ONE_WAY = "one_way"
    MOVED = "moved"
    NOT_SHOWN = "not_shown"
    REMOVED_BEFORE = "removed_before"
    REMOVED_MEANWHILE = "removed_meanwhile"
    ARCHIVED = "archived"
    DELETED = "deleted"
    UNLINKED = "unlinked"
    REMOVAL_REJECTED = "removal_rejected"
    PENDING_APPROVAL = "pending_approval"
    QUESTION = "question"
    QUESTION_EDITED = "question_edited"
    QUESTION_RESTORED = "question_restored"


_R = TombstoneReason
_TOMBSTONE_SENTENCES = {
    _R.NO_ITEM: "Deleted in NPD. It had no item on Monday.",
    _R.OTHER_OWNER: "Deleted in NPD. Its item belongs to “{owner}” by now, so nothing is sent.",
    _R.OTHER_NPD_ID: "Deleted in NPD. Its item “{item}” bears the NPD ID of “{owner}” by now, so nothing is sent.",
    _R.SYNC_OFF: "Deleted in NPD. Its sync was off, so its item stays on Monday as it is.",
    _R.ONE_WAY: "Deleted in NPD. Its direction let nothing be sent, so its item stays on Monday as it is.",
    _R.MOVED: "Deleted in NPD. Its item “{item}” was moved to another board ({board}); it stays there.",
    _R.NOT_SHOWN: "Deleted in NPD. Monday doesn't show its item any more; nothing is left to do.",
    _R.REMOVED_BEFORE: "Deleted in NPD. Its item “{item}” was {state} on Monday already.",
    _R.REMOVED_MEANWHILE: "Deleted in NPD. {error} Nothing is left to do.",
    _R.ARCHIVED: "Deleted in NPD, so its item “{item}” was archived on Monday. People can restore it from the board's "
    "archive.",
    _R.DELETED: "Deleted in NPD, so its item “{item}” was deleted on Monday. People can restore it from Monday's "
    "recycle bin, for 30 days.",
    _R.UNLINKED: "Deleted in NPD. Its item “{item}” stays on the board and was unlinked: it makes no new record.",
    _R.REMOVAL_REJECTED: "Deleted in NPD. A person rejected that its item leaves the board, so it stays as it is.",
    _R.PENDING_APPROVAL: "Deleted in NPD. So many were deleted at once that its item waits for approval: see “Waiting "
    "for approval” in the admin.",
    _R.QUESTION: "“{record}” was deleted in NPD. What should become of its item {item}?",
    _R.QUESTION_EDITED: "“{record}” was deleted in NPD, but its item {item} was edited on Monday since both sides "
    "agreed.",
    _R.QUESTION_RESTORED: "“{record}” was deleted in NPD and its item left the board, but somebody restored the item "
    "{item}. Should the record come back too?",
}


def tombstone_sentence(reason: TombstoneReason, **params: object) -> str:
    """Return what stands beside a deleted record; `params` are what the sentence names."""
    return _TOMBSTONE_SENTENCES[reason].format(**params)
