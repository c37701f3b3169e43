"""What a person may do: each act with its words and rights; and the errors that refuse what a person asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied

from sync.choices import ApprovalKind, DeletedRecordPolicy


class ActionError(Exception):
    """A request that can't be carried out; the message says why, and what to do.

    ├── NotPossible        because of the current state, or because it changed since the page was loaded
    │   ├── RestoreError
    │   └── CountChanged
    └── NotAllowed         by this person

    `code` is the API's `code` (sync/api/errors.py).
    """

    default_code: ClassVar[str] = "invalid"

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code


class NotPossible(ActionError):
    """The current state doesn't allow it."""

    default_code = "conflict"


class NotAllowed(ActionError, PermissionDenied):
    """This person may not; uncaught, Django answers 403."""

    default_code = "permission_denied"


class RestoreError(NotPossible):
    """The record can't be restored."""


class CountChanged(NotPossible):
    """The matching rows, or their number, changed since a person saw them, so nothing was done.

    A negative `expected` means that no number was submitted.
    """

    def __init__(self, expected: int, actual: int) -> None:
        confirmed = f"not {expected:,}" if expected >= 0 else "and no number was confirmed"
        changed = "Others match now" if expected == actual else f"{actual:,} match now, {confirmed}"
        super().__init__(f"{changed}. Nothing was done. Check the list again, then repeat it with the current number.")


@dataclass(frozen=True)
class Act:
    """What a person may do about a record, or an entry that needs attention; for pages, API and questions."""

    code: str
    label: str  # of the button
    effect: str  # as a sentence
    many: str = ""  # the label for several, with {number}, {records}, {items} or {fields}; empty: only one at a time
    done: str = ""  # what Home says afterwards, with the same placeholders
    max_per_request: int = 0  # 0: any number
    asks: bool = False  # needs a confirmation
    asks_about_several: bool = False  # needs one only for a whole group
    deletes: bool = False  # deletes a record or an item, or empties a field
    way_back: str = ""  # how to revert it by hand
    undo: bool = False  # “Undo” reverts it
    rights: tuple[str, ...] = ()  # the required permissions, beside those of the entry's kind (`KindFacts.permission`)
    # The required permission on records of the type, for what Home offers: add, change or delete. A record's page and
    # list ask for the right to change it.
    record_right: str = ""
    key: str = ""  # its shortcut on Home's rows
    answers: str = ""  # the kind of question about a whole record that it answers (`ConflictKind`): delete or identity
    links: bool = False  # as an answer it gives the record the item
    waits_for_item: bool = False  # the item's own pass carries the answer out, because it needs the item as it is then

    @property
    def button(self) -> str:
        return f"{self.label}…" if self.asks else self.label

    def is_allowed(self, user: Any) -> bool:
        """Whether this person has its `rights`; `attention.may_do` also checks those on an entry's record."""
        return bool(user.has_perms(self.rights))


# The acts that answer a question about a whole record (`Act.answers`), and CREATE_RECORD. A board's policies, the API,
# stored choices and Home name them by these codes, too.
CREATE_ITEM = "create_item"
RESTORE_RECORD = "restore_record"
DELETE_RECORD = "delete_record"
ARCHIVE_ITEM = "archive_item"
DELETE_ITEM = "delete_item"
UNLINK = "unlink"
LINK = "link"
SAME_NAME = "same_name"
NEW_ITEM = "new_item"
NEW_RECORD = "new_record"
CREATE_RECORD = "create_record"
LEAVE_ALONE = "leave_alone"
ARCHIVE_COPY = "archive"
MERGE_RECORDS = "merge_records"
TWO_RECORDS = "two_records"

# So that the page answers within seconds: resolving a conflict takes about 50 ms.
MAX_PER_REQUEST = 200

_UNTIL_THE_NEXT_SYNC = (
    "The records stay as they are on both sides until their next sync: after a save, an edit on the board, “Sync now”, "
    "or the next check for missed changes."
)
_SYNC_ON = (
    "Fields that one side has changed meanwhile are synced. Fields that both sides have changed differently become "
    "conflicts."
)
_CONFLICTS_CLOSE = "Open conflicts close; the activity keeps their values."
_CHANGE_BOARD = ("sync.change_boardlink", "sync.change_fieldmapping")

_ACTS = (
    # The sync of all boards, of one, and of a record.
    Act("try_again", "Try again now", "Asks Monday whether sync can go on.", rights=("sync.retry_syncqueue",)),
    Act("pause", "Pause",
        "Nothing is synced meanwhile. Edits on both sides are kept and synced afterwards.",
        asks=True, rights=("sync.pause_syncqueue",)),
    Act("resume", "Resume", "What waited is synced now.", rights=("sync.pause_syncqueue",)),
    Act("create_anyway", "Create new ones anyway",
        "Creates new items and records although items on the board can't be recognized, which may make duplicates. You "
        "are still asked about records that have an item's name.",
        rights=_CHANGE_BOARD),
    Act("sync_now", "Sync now", "Sends the record to Monday ahead of other work, also while its sync is off."),
    Act("direction", "Direction", "Changes which way the record is synced.", asks=True),
    Act("turn_sync_on", "Turn sync on", _SYNC_ON, "Turn sync on for {records}"),
    Act("turn_sync_off", "Turn sync off",
        f"Nothing is synced in either direction. NPD and Monday keep their values. {_CONFLICTS_CLOSE}",
        "Turn sync off for {records}", asks=True, way_back=f"When you turn sync on again: {_SYNC_ON}"),
    Act("link_again", "Link again",
        "Links the record with its former item, and turns its sync on. If the item has left the board, you are asked "
        f"what to do with the record. {_SYNC_ON}",
        "Link {records} with their items again", asks=True, way_back="To go back, unlink the record again."),
    Act("undo", "Undo", "Puts the former value back in NPD, unless it has changed since; the next sync does the rest.",
        asks=True),
    Act("redo", "Redo", "Undoes an undo: puts the value back that NPD had before.", asks=True),
    # Jobs and fields.
    Act("retry", "Retry", "Tries it again, with all attempts, as soon as its board can be synced.",
        "Retry {number}", "Trying again: {number}.", rights=("sync.retry_syncqueue",)),
    Act("retry_field", "Retry", "Tries the record's blocked and rejected values again with the next sync.",
        "Retry {number}", "Trying again: {number}.", record_right="change"),
    Act("cancel", "Cancel", f"Closes pending jobs without a sync. {_UNTIL_THE_NEXT_SYNC}",
        "Cancel {number}", "Cancelled: {number}.", asks=True, rights=("sync.cancel_syncqueue",)),
    Act("discard", "Discard", f"Closes failed jobs without a sync. {_UNTIL_THE_NEXT_SYNC}",
        "Discard {number}", "Discarded: {number}.", asks=True, rights=("sync.discard_syncqueue",)),
    Act("check_column", "Check the board now",
        "Asks Monday whether the column is back; nothing is written.", rights=_CHANGE_BOARD),
    # Bulk deletions; APPROVAL_ACTS has what they mean for each kind.
    Act("approve", "Approve", "Deletes or empties it with the next sync.", asks=True, deletes=True,
        rights=("sync.change_approvalrequest",)),
    Act("reject", "Reject", "Keeps what would be lost, and restores it on the other side.", asks=True,
        rights=("sync.change_approvalrequest",)),
    # Records and items that are gone on the other side.
    Act(CREATE_ITEM, "Create again",
        "Creates a new item on Monday with NPD's values. If somebody restores the old item later, Home lists it as a "
        "possible duplicate.",
        "Create {items} again on Monday", "{items} will be created again.", asks=True,
        way_back="To go back, archive the new items on the board.", answers="delete"),
    Act(RESTORE_RECORD, "Restore",
        "Each record comes back in NPD with its id and the values that it had when it was deleted. An item that is "
        "still on the board is linked again. Monday lets no program restore an archived or deleted item: its record "
        "gets a new one, and updates and files stay with the old one. To keep them, restore the item on Monday first.",
        "Restore {records} in NPD", "{records} will be restored in NPD.", asks=True,
        way_back="To go back, delete the records again.", answers="delete"),
    Act(DELETE_RECORD, "Delete", "Deletes the record in NPD, with its latest edits. Nothing changes on Monday.",
        "Delete {records} in NPD", "Deleted in NPD: {records}.", asks=True,
        deletes=True, way_back="To go back, restore them from “Deleted records”, within 30 days.",
        record_right="delete", answers="delete"),
    Act(ARCHIVE_ITEM, "Archive item", "Archives the item on Monday.",
        "Archive {items} on Monday", "{items} will be archived on Monday.",
        asks=True, deletes=True, way_back="To go back, restore the items from Monday's archive.",
        record_right="delete", answers="delete"),
    Act(DELETE_ITEM, "Delete item", "Deletes the item on Monday.",
        "Delete {items} on Monday", "{items} will be deleted on Monday.",
        asks=True, deletes=True,
        way_back="To go back, restore the items from Monday's recycle bin, within 30 days.",
        record_right="delete", answers="delete"),
    Act(UNLINK, "Unlink from Monday",
        "Both sides keep their values and aren't synced any more. If the item is on the board, its NPD ID is cleared; "
        f"it becomes no other record by itself. {_CONFLICTS_CLOSE}",
        "Unlink {records} from Monday", "{records} will be unlinked.", asks=True,
        way_back="To go back, choose “Link again” here or on a record's page, or “Undo” in the activity.",
        answers="delete"),
    # Values that differ, that Monday rejected, and of edits on Monday that were lost.
    Act("keep_npd", "Use NPD", "Writes NPD's value to Monday. Monday's value is overwritten.",
        "Use NPD for {number}", "Resolved with NPD's values: {number}.", MAX_PER_REQUEST, asks_about_several=True,
        undo=True, key="1"),
    Act("keep_monday", "Use Monday", "Writes Monday's value into NPD. NPD's value is overwritten.",
        "Use Monday for {number}", "Resolved with Monday's values: {number}.", MAX_PER_REQUEST, asks_about_several=True,
        undo=True, key="3"),
    Act("use_both", "Use both", "Writes both texts together on both sides, NPD's first.",
        "Use both for {number}", "Resolved with both texts: {number}.", MAX_PER_REQUEST, asks_about_several=True,
        undo=True, record_right="change", key="b"),
    Act("leave_both", "Leave both as they are",
        "Changes nothing. NPD's value isn't sent until somebody changes it or its column.",
        "Leave both as they are: {number}", "Both left as they are: {number}.", MAX_PER_REQUEST,
        asks_about_several=True, undo=True, key="1"),
    Act("keep_current", "Keep current value", "Changes nothing: the lost edit stays lost.",
        "Keep current value: {number}", "Current value kept: {number}.", MAX_PER_REQUEST, asks_about_several=True,
        undo=True, key="1"),
    Act("restore_edit", "Restore edit", "Writes the lost edit on both sides. The current value is overwritten.",
        "Restore edit: {number}", "Lost edit restored: {number}.", MAX_PER_REQUEST, asks_about_several=True,
        undo=True, key="3"),
    # Items that no record has, and records and items that may be the same.
    Act(CREATE_RECORD, "Create record", "Creates a record in NPD from the item.", "Create {records}",
        "{records} will be created.", asks_about_several=True, record_right="add"),
    Act("ignore", "Ignore", "Leaves the item on Monday as it is. It never becomes a record.",
        "Ignore {number}", "Ignored: {number}.", undo=True, rights=("sync.change_unmatcheditem",)),
    Act("consider_again", "Consider again", "Checks ignored items again, like new ones.",
        "Consider {items} again", "{items} will be checked again.", asks=True, rights=("sync.delete_ignoreditem",)),
    Act(LINK, "Link to",
        "Links the item with a record in NPD. From then on, both are synced, unless the record's sync is off: it stays "
        "off.",
        "Link {records}", "{records} will be linked.", MAX_PER_REQUEST, asks=True,
        way_back="To go back, press “Unlink from Monday…” on a record's page.", record_right="change", key="1",
        answers="identity", links=True),
    Act(ARCHIVE_COPY, "Archive the copy",
        "Archives the item on Monday, unless it is edited before. What was written into it alone stays in Monday's "
        "archive.",
        "Archive all copies", "{items} will be archived.", MAX_PER_REQUEST, asks=True, deletes=True,
        way_back="To go back, restore the items from Monday's archive.", record_right="delete",
        answers="identity", waits_for_item=True),
    Act(MERGE_RECORDS, "They are the same", "Deletes one of two records in NPD, and keeps one item.",
        deletes=True, asks=True, record_right="delete", answers="identity"),
    Act(TWO_RECORDS, "They are two", "Both records stay, and you are not asked again.", answers="identity"),
    Act(NEW_RECORD, "It is somebody else: create a new record", "Creates a record in NPD, linked with the item.",
        "Create records from {items}", "{items} will become records.", MAX_PER_REQUEST, asks=True,
        way_back="To go back, delete the new records.", record_right="add", key="3",
        answers="identity", waits_for_item=True),
    Act(SAME_NAME, "It is the same",
        "Links the record with the item of its name; what differs is synced field by field.",
        "Link {records} with the items of their names", "{records} will be linked with the items of their names.",
        asks=True, way_back="To go back, press “Unlink from Monday…” on a record's page.",
        answers="identity", links=True),
    Act(NEW_ITEM, "None of them: create a new item", "Creates an item on Monday; those that were found stay.",
        "Create new items for {records}", "New items will be created for {records}.", MAX_PER_REQUEST, asks=True,
        way_back="To go back, archive the new items on the board.", key="3", answers="identity"),
    Act(LEAVE_ALONE, "Leave the item alone", "The item stays on the board and is not synced.",
        "Leave {items} alone", "{items} will be left alone.", MAX_PER_REQUEST, asks=True,
        way_back="To go back, delete it under “Ignored items”.", answers="identity"),
)  # fmt: skip

ACTS: Mapping[str, Act] = {act.code: act for act in _ACTS}


def answers_to(question: str) -> list[str]:
    """Return the codes of the acts that answer this kind of question about a whole record."""
    return [act.code for act in _ACTS if act.answers == question]


_KEEP_ITEMS = (
    "Keep {items} on Monday",
    "{items} will stay on Monday.",
    (
        "The records stay deleted in NPD. Their items stay on Monday as they are, and no new records are created from "
        "them. To have a record back, restore it from “Deleted records”."
    ),
)

# The words of both answers to bulk deletions, by what would be lost: the label for several, what Home says then, and
# the effect. Of items there are those of the board's setting, too.
_ANSWERS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    ApprovalKind.ITEMS: {
        "approve": (
            "Remove {items} on Monday",
            "{items} will be removed on Monday.",
            "The items are archived or deleted on Monday, as the board's setting says. People can restore them there.",
        ),
        "reject": _KEEP_ITEMS,
    },
    DeletedRecordPolicy.ARCHIVE: {
        "approve": (
            "Archive {items} on Monday",
            "{items} will be archived on Monday.",
            "The items are archived on Monday, as the board's setting says. People can restore them there.",
        ),
        "reject": _KEEP_ITEMS,
    },
    DeletedRecordPolicy.DELETE: {
        "approve": (
            "Delete {items} on Monday",
            "{items} will be deleted on Monday.",
            "The items are deleted on Monday, as the board's setting says. People can restore them there.",
        ),
        "reject": _KEEP_ITEMS,
    },
    ApprovalKind.RECORDS: {
        "approve": (
            "Delete {records} in NPD",
            "{records} will be deleted in NPD.",
            "Each can be restored from “Deleted records”.",
        ),
        "reject": (
            "Keep {records} in NPD",
            "{records} will stay in NPD.",
            "For each, a conflict asks you what to do with it.",
        ),
    },
    ApprovalKind.CLEAR_MONDAY: {
        "approve": (
            "Empty {fields} on Monday",
            "{fields} will be emptied on Monday.",
            "The cells are emptied on Monday, as they are in NPD.",
        ),
        "reject": (
            "Restore {fields} in NPD",
            "{fields} will be restored in NPD.",
            "NPD gets the values back that are still on Monday.",
        ),
    },
    ApprovalKind.CLEAR_NPD: {
        "approve": (
            "Empty {fields} in NPD",
            "{fields} will be emptied in NPD.",
            "The fields are emptied in NPD, as they are on Monday.",
        ),
        "reject": (
            "Restore {fields} on Monday",
            "{fields} will be restored on Monday.",
            "Monday gets the values back that are still in NPD.",
        ),
    },
    # Cells that nobody is known to have emptied (UNREPORTED in models/activity_lines.py).
    "unreported": {
        "reject": (
            "Fill in again",
            "{fields} will be filled in again on Monday.",
            "Monday gets the values back that NPD still has.",
        ),
        "approve": (
            "Empty in NPD too",
            "{fields} will be emptied in NPD.",
            "The fields are emptied in NPD, as they are on Monday.",
        ),
    },
}
APPROVAL_ACTS: Mapping[str, tuple[Act, ...]] = {
    kind: tuple(
        replace(ACTS[code], many=many, done=done, effect=effect) for code, (many, done, effect) in answers.items()
    )
    for kind, answers in _ANSWERS.items()
}
