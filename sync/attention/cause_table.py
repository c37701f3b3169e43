"""The one table of causes: what each kind and code of what waits is called, how grave it is, and who may do what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from conflicts import reports
from sync import choices
from sync.kernel.messages import UnmatchedReason
from sync.models.attention import AttentionKind as Kind


class Severity(IntEnum):
    """What comes first, and its colour."""

    STOPPED = 0
    FAILED = 1
    COLUMN = 2  # a field of a whole board
    DELETION = 3
    CONFLICT = 4
    REJECTED = 5
    BLOCKED = 6
    UNMATCHED = 7
    NOTICE = 8

    @property
    def colour(self) -> str:
        """The badge of pages: bad, warn or wait."""
        if self <= Severity.FAILED:
            return "bad"
        return "wait" if self is Severity.NOTICE else "warn"


@dataclass(frozen=True)
class KindFacts:
    """What all causes of a kind have in common."""

    severity: Severity
    nouns: tuple[str, str]  # of one, and of several
    icon: str
    button: str  # what the door to it is called, for who may act
    seen_with: str  # the row that a person has to be allowed to view: that of the list on which it was always shown
    acted_on_with: str  # the right that the kind asks for, of whatever type its records are
    acts: tuple[str, ...] = ()  # what can be done, the main act first
    # What somebody may do with records of a type, who so may act on it: of an item, create or link one.
    record_rights: tuple[str, ...] = ()
    has_page: bool = False  # it is dealt with on a page of its own, to which its main button leads


KINDS: Mapping[Kind, KindFacts] = {
    Kind.STOP: KindFacts(
        Severity.STOPPED, ("stop", "stops"), "block", "Try again now",
        "sync.boardlink", "sync.retry_syncqueue", ("try_again",),
    ),
    Kind.DIFFERENCE: KindFacts(
        Severity.FAILED, ("difference", "differences"), "difference", "Open",
        "sync.boardlink", "sync.change_boardlink", has_page=True,
    ),
    Kind.FAILED: KindFacts(
        Severity.FAILED, ("change fails", "changes fail"), "error", "Open",
        "sync.syncqueue", "sync.retry_syncqueue", ("retry", "discard"),
    ),
    # A right that superusers alone have.
    Kind.NOTIFICATION: KindFacts(
        Severity.FAILED, ("failing notification", "failing notifications"), "notifications_off", "See why",
        "sync.notificationreceiver", "sync.change_notificationreceiver", has_page=True,
    ),
    Kind.APPROVAL: KindFacts(
        Severity.DELETION, ("approval", "approvals"), "gpp_maybe", "Decide",
        "sync.approvalrequest", "sync.change_approvalrequest", ("approve", "reject"),
    ),
    Kind.REMOVED: KindFacts(
        Severity.DELETION, ("item removed on Monday", "items removed on Monday"), "delete_sweep", "Answer",
        "conflicts.syncconflict", "conflicts.change_syncconflict",
        ("create_item", "delete_record", "unlink"), ("change", "delete"),
    ),
    Kind.CONFLICT: KindFacts(
        Severity.CONFLICT, ("conflict", "conflicts"), "call_split", "Resolve",
        "conflicts.syncconflict", "conflicts.change_syncconflict", ("keep_npd", "keep_monday"), has_page=True,
    ),
    Kind.DUPLICATE: KindFacts(
        Severity.CONFLICT, ("possible duplicate", "possible duplicates"), "group", "Decide",
        "conflicts.syncconflict", "conflicts.change_syncconflict", has_page=True,
    ),
    Kind.REJECTED: KindFacts(
        Severity.REJECTED, ("rejected value", "rejected values"), "front_hand", "Fix",
        "conflicts.syncconflict", "conflicts.change_syncconflict", ("keep_npd", "keep_monday", "retry"), has_page=True,
    ),
    Kind.BLOCKED: KindFacts(
        Severity.BLOCKED, ("blocked field", "blocked fields"), "front_hand", "See why",
        "sync.syncmetadata", "sync.change_fieldmapping", ("retry",), ("change",),
    ),
    Kind.BOARD: KindFacts(
        Severity.BLOCKED, ("problem of a board", "problems of boards"), "view_column", "Open the board",
        "sync.boardlink", "sync.change_boardlink", has_page=True,
    ),
    Kind.UNMATCHED: KindFacts(
        Severity.UNMATCHED, ("unmatched item", "unmatched items"), "fiber_new", "Open",
        "sync.unmatcheditem", "sync.change_unmatcheditem", ("create_record", "ignore"), ("add", "change"),
    ),
}  # fmt: skip

# What concerns a board or the account, and no record or item.
OF_BOARDS = frozenset({Kind.STOP, Kind.DIFFERENCE, Kind.BOARD})


@dataclass(frozen=True)
class Cause:
    """A cause in words: `title` names it, with {field} and {record} filled in; `sentence` says what it means, with
    what was {removed} how.

    An empty title is what the source says itself, in `values["reason"]`.
    """

    title: str = ""
    sentence: str = ""
    severity: Severity | None = None  # where it differs from its kind's
    icon: str = ""
    # Instead of the kind's acts.
    acts: tuple[str, ...] | None = field(default=None)


_TOO_MANY = "Together with those of the hour before, that is more than usual, so it waits until somebody approves it."
_ITEM_GONE = ("create_item", "unlink", "delete_record")
_RECORD_GONE = ("restore_record", "unlink", "archive_item", "delete_item")

# By kind and code; those of an empty code are for all others of the kind.
CAUSES: Mapping[tuple[Kind, str], Cause] = {
    (Kind.STOP, ""): Cause("Monday can't be reached", "Edits are kept on both sides, and synced once sync goes on."),
    (Kind.STOP, choices.StopCode.TOKEN): Cause("Monday refuses the API token"),
    (Kind.STOP, "board"): Cause("The board can't be synced"),
    (Kind.DIFFERENCE, ""): Cause(
        "{differed} of {compared} checked records said “synced” and differed", "The nightly comparison found it."
    ),
    (Kind.FAILED, ""): Cause("No reason is known"),
    (Kind.NOTIFICATION, ""): Cause("Notifications by email don't arrive"),
    (Kind.NOTIFICATION, "chat"): Cause("Notifications in a chat don't arrive"),
    (Kind.APPROVAL, ""): Cause("Bulk deletions"),
    (Kind.APPROVAL, choices.ApprovalKind.ITEMS): Cause(
        "Items would be removed on Monday", f"Their records were deleted in NPD. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.RECORDS): Cause(
        "Records would be deleted in NPD", f"Their items were {{removed}} on Monday. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.CLEAR_MONDAY): Cause(
        "Fields would be emptied on Monday", f"They were emptied in NPD. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.CLEAR_NPD): Cause(
        "Fields would be emptied in NPD", f"They were emptied on Monday. {_TOO_MANY}"
    ),
    (Kind.REMOVED, "archived"): Cause("Archived on the board"),
    (Kind.REMOVED, "deleted"): Cause("Deleted on the board"),
    (Kind.REMOVED, "moved"): Cause("Moved to another board"),
    (Kind.CONFLICT, ""): Cause("{field} changed on both sides"),
    (Kind.CONFLICT, reports.KIND_FIRST_MATCH): Cause("{field} different since linking"),
    (Kind.CONFLICT, reports.KIND_OVERWRITTEN): Cause("An edit of {field} on Monday was lost"),
    (Kind.CONFLICT, reports.KIND_DELETE): Cause(
        "The item left the board",
        "Nothing is changed until somebody chooses here, or the items are back on the board.",
        acts=_ITEM_GONE,
    ),
    (Kind.CONFLICT, reports.KIND_DELETED_RECORD): Cause(
        "Deleted in NPD, with an item on Monday",
        "The items stay on the board as they are until somebody chooses: restore the records, or remove or unlink the "
        "items.",
        acts=_RECORD_GONE,
    ),
    (Kind.CONFLICT, reports.KIND_RESTORED_ITEM): Cause(
        "Deleted in NPD, and the item was restored on Monday",
        "The items had left the board with their records, and somebody restored them there. Nothing is changed until "
        "somebody chooses: restore the records, too, or remove or unlink the items.",
        acts=_RECORD_GONE,
    ),
    (Kind.DUPLICATE, ""): Cause("Which item belongs to which {record}?"),
    (Kind.REJECTED, ""): Cause("{field} was rejected by Monday"),
    (Kind.REJECTED, choices.BlockedCode.LIMIT): Cause(
        "{field} has a value that its column can't take", acts=("keep_npd", "keep_monday")
    ),
    (Kind.BLOCKED, ""): Cause("{field} is blocked"),
    (Kind.BLOCKED, choices.BlockedCode.COLUMN): Cause(
        "{field}: its column can't be used",
        "Restored on the board (undo, or the board's trash), it is synced as before. A new column gets NPD's values, "
        "where they are synced to Monday.",
        severity=Severity.COLUMN,
        acts=("check_column",),
    ),
    (Kind.BLOCKED, choices.BlockedCode.RELATION): Cause("{field} waits for a record that has no item yet"),
    (Kind.BLOCKED, choices.BlockedCode.INVALID): Cause("{field}: NPD can't use Monday's value"),
    (Kind.BLOCKED, choices.BlockedCode.UNKNOWN): Cause("{field}: the value can't be read"),
    (Kind.BLOCKED, choices.BlockedCode.REQUIRED): Cause("{field} is required in NPD and was emptied on Monday"),
    (Kind.BLOCKED, choices.BlockedCode.THROTTLED): Cause(
        "{field} is in an update loop",
        "After each of our writes, somebody or an automation writes another value on the board, so nothing is sent to "
        "this field of these records for a while; then it is tried once. Their other fields are synced. Once that is "
        "stopped, retry.",
    ),
    (Kind.BLOCKED, choices.BlockedCode.DIRECTION): Cause("{field}: its direction lets nothing be sent"),
    (Kind.BOARD, "npd_id"): Cause("Nothing new is created, because the NPD ID column is missing", icon="key_off"),
    (Kind.BOARD, "creates_held"): Cause(
        "Nothing new is created, because nobody on it can be recognized", icon="front_hand"
    ),
    (Kind.BOARD, "silence"): Cause("Monday reports no edits", severity=Severity.FAILED, icon="notifications_off"),
    (Kind.BOARD, "webhooks"): Cause("Monday doesn't report every edit", severity=Severity.FAILED, icon="webhook"),
    (Kind.BOARD, "sweeps"): Cause("Missed changes are not fully known", severity=Severity.FAILED, icon="manage_search"),
    **{
        (Kind.BOARD, f"refused_{call}"): Cause(f"{words} on the board", severity=Severity.FAILED, icon="front_hand")
        for call, words in choices.REFUSED_WORDS.items()
    },
    (Kind.UNMATCHED, ""): Cause("No record belongs to it"),
    **{(Kind.UNMATCHED, code): Cause(label) for code, label in UnmatchedReason.choices},
}


def cause_of(kind: Kind, code: str) -> Cause:
    return CAUSES.get((kind, code)) or CAUSES.get((kind, "")) or Cause()


def acts_of(kind: Kind, code: str) -> tuple[str, ...]:
    """What can be done about things of a cause, the main act first."""
    acts = cause_of(kind, code).acts
    return KINDS[kind].acts if acts is None else acts


def severity_of(kind: Kind, code: str) -> Severity:
    severity = cause_of(kind, code).severity
    return KINDS[kind].severity if severity is None else severity
