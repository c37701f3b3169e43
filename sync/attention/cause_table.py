"""What Home shows of the entries that wait: by kind in `KINDS`, by kind and code (a cause) in `CAUSES`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from conflicts.reports import (
    COPY,
    DELETED_RECORD,
    NAMESAKE,
    RESTORED_ITEM,
    SAME_NAME,
    SECOND_ITEM,
    UNPLANNED,
    ConflictKind,
)
from sync import choices
from sync.kernel.acts import ACTS, APPROVAL_ACTS, ARCHIVE_COPY, Act
from sync.models.activity_lines import UNREPORTED
from sync.models.attention import AttentionKind as Kind


class Severity(IntEnum):
    """The order of groups: a smaller number is graver."""

    STOPPED = 0
    FAILED = 1
    COLUMN = 2  # a field of a whole board
    DELETION = 3
    CONFLICT = 4
    REJECTED = 5
    BLOCKED = 6
    UNMATCHED = 7
    NOTICE = 8  # needs nobody, and isn't counted

    @property
    def colour(self) -> str:
        """The badge's colour on pages."""
        if self <= Severity.FAILED:
            return "bad"
        return "wait" if self is Severity.NOTICE else "warn"


@dataclass(frozen=True)
class KindFacts:
    """What all causes of a kind have in common, and who may see and do what."""

    severity: Severity
    nouns: tuple[str, str]  # after a number, singular and plural: “1 change fails”
    icon: str
    button: str  # the label of the link to its page, for people who may act
    model: str  # people who may view this model see the entries
    permission: str  # people who have it may act on the entries, whatever the type of the record
    record_rights: tuple[str, ...] = ()  # or any of these rights on records of the entry's type
    acts: tuple[str, ...] = ()  # codes of acts (kernel/acts.py), the main one first
    is_solved_on_page: bool = False  # its main button is the link to its page, not the first act


KINDS: Mapping[Kind, KindFacts] = {
    Kind.STOP: KindFacts(
        Severity.STOPPED, ("stop", "stops"), "block", ACTS["try_again"].label,
        model="sync.boardlink", permission="sync.retry_syncqueue", acts=("try_again",),
    ),
    Kind.DIFFERENCE: KindFacts(
        Severity.FAILED, ("difference", "differences"), "difference", "Open",
        model="sync.boardlink", permission="sync.change_boardlink", is_solved_on_page=True,
    ),
    Kind.FAILED: KindFacts(
        Severity.FAILED, ("change fails", "changes fail"), "error", "Open",
        model="sync.syncqueue", permission="sync.retry_syncqueue", acts=("retry", "discard"),
    ),
    # Receivers have no permissions, so only superusers see these entries.
    Kind.NOTIFICATION: KindFacts(
        Severity.FAILED, ("failing notification", "failing notifications"), "notifications_off", "See why",
        model="sync.notificationreceiver", permission="sync.change_notificationreceiver", is_solved_on_page=True,
    ),
    Kind.APPROVAL: KindFacts(
        Severity.DELETION, ("approval", "approvals"), "gpp_maybe", "Decide",
        model="sync.approvalrequest", permission="sync.change_approvalrequest", acts=("approve", "reject"),
    ),
    Kind.REMOVED: KindFacts(
        Severity.DELETION, ("removed item", "removed items"), "delete_sweep", "Answer",
        model="conflicts.syncconflict", permission="conflicts.change_syncconflict",
        record_rights=("change",), acts=("create_item", "delete_record", "unlink"),
    ),
    Kind.CONFLICT: KindFacts(
        Severity.CONFLICT, ("conflict", "conflicts"), "call_split", "Resolve",
        model="conflicts.syncconflict", permission="conflicts.change_syncconflict",
        acts=("keep_npd", "keep_monday", "use_both"), is_solved_on_page=True,
    ),
    Kind.DUPLICATE: KindFacts(
        Severity.CONFLICT, ("possible duplicate", "possible duplicates"), "group", "Decide",
        model="conflicts.syncconflict", permission="conflicts.change_syncconflict", is_solved_on_page=True,
    ),
    Kind.REJECTED: KindFacts(
        Severity.REJECTED, ("rejected value", "rejected values"), "front_hand", "Fix",
        model="conflicts.syncconflict", permission="conflicts.change_syncconflict",
        acts=("leave_both", "keep_monday", "retry_field"), is_solved_on_page=True,
    ),
    Kind.BLOCKED: KindFacts(
        Severity.BLOCKED, ("blocked field", "blocked fields"), "front_hand", "See why",
        model="sync.syncmetadata", permission="sync.change_fieldmapping", record_rights=("change",),
        acts=("retry_field",),
    ),
    Kind.BOARD: KindFacts(
        Severity.BLOCKED, ("problem of a board", "problems of boards"), "view_column", "Open the board",
        model="sync.boardlink", permission="sync.change_boardlink", is_solved_on_page=True,
    ),
    Kind.UNMATCHED: KindFacts(
        Severity.UNMATCHED, ("unmatched item", "unmatched items"), "add_link", "Open",
        model="sync.unmatcheditem", permission="sync.change_unmatcheditem",
        record_rights=("add", "change"), acts=("create_record", "ignore"),
    ),
}  # fmt: skip

# The kinds about the account or a board as a whole.
OF_BOARDS = frozenset({Kind.STOP, Kind.DIFFERENCE, Kind.BOARD})


@dataclass(frozen=True)
class CauseFacts:
    """The texts of a cause, and where it differs from its kind."""

    title: str = ""  # filled in by `Wording.title` (sentences.py); an entry with a text of its own shows that instead
    sentence: str = ""  # what it means; filled in by `Group.sentence` (sentences.py)
    severity: Severity | None = None
    icon: str = ""
    acts: tuple[str, ...] | None = None


_TOO_MANY = "Together with the hour before, that is more than usual, so it waits until somebody approves it."
_OTHERS_SYNCED = "All other fields are synced."
_ACTS_ON_DELETED_RECORD = ("restore_record", "unlink", "archive_item", "delete_item")

# The codes of entries about conflicts where they say more than the conflict's kind: fields that differ since the first
# match, so that nobody changed them; and what some questions ask.
CODE_FIRST_MATCH = "first_match"
ASKED_CODES = (DELETED_RECORD, RESTORED_ITEM, COPY, SECOND_ITEM, NAMESAKE, SAME_NAME, UNPLANNED)

# Questions whether an item is a second one of a record.
SECOND_ITEMS = (SECOND_ITEM, NAMESAKE)
_SECOND_ITEM_ACTS = ("leave_alone", "new_record")

# Records and items, in one group, for which the set-up's plan had nothing new.
_UNPLANNED = CauseFacts(
    choices.UnmatchedReason.UNPLANNED.label,
    "They were there when the board was set up, and the plan had nothing new for them. Nothing is created until "
    "somebody says so.",
    severity=Severity.CONFLICT,
)

# A board that creates nothing new, and the items for which it doesn't, in one group.
_HELD = CauseFacts(
    "Nothing new is created, because items on the board can't be recognized",
    "They have neither an NPD ID nor a value by which records are recognized, so people could be there twice. Fill "
    "that in, decide about the items, or create new ones anyway.",
    icon="front_hand",
)

# The codes of a board's problems for which its records get no new items.
NO_NEW_ITEMS = ("npd_id", "creates_held", f"refused_{choices.CallKind.CREATE}")

# The codes of conflicts about a whole record that one side deleted.
DELETIONS = (ConflictKind.DELETE, DELETED_RECORD, RESTORED_ITEM)

# By kind and the code that definitions.py gives to an entry; an empty code is for all other codes of the kind.
CAUSES: Mapping[tuple[Kind, str], CauseFacts] = {
    (Kind.STOP, ""): CauseFacts(
        "Monday can't be reached", "Edits are kept on both sides, and synced as soon as the sync runs again."
    ),
    (Kind.STOP, choices.StopCode.TOKEN): CauseFacts("Monday refuses the API token"),
    (Kind.STOP, choices.StopCode.BOARD): CauseFacts("The board can't be synced"),
    (Kind.DIFFERENCE, ""): CauseFacts(
        "{differed} of {compared} checked records were shown as synced, but differed",
        "The nightly comparison found it.",
    ),
    (Kind.FAILED, ""): CauseFacts("No reason is known"),
    (Kind.NOTIFICATION, ""): CauseFacts("Notifications by email don't arrive"),
    (Kind.NOTIFICATION, "chat"): CauseFacts("Notifications in a chat don't arrive"),
    (Kind.APPROVAL, ""): CauseFacts("Bulk deletions"),
    (Kind.APPROVAL, choices.ApprovalKind.ITEMS): CauseFacts(
        "Items would be removed on Monday", f"{{deleted}} in NPD. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.RECORDS): CauseFacts(
        "Records would be deleted in NPD", f"Their items were {{removed}} on Monday. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.CLEAR_MONDAY): CauseFacts(
        "Fields would be emptied on Monday", f"They were emptied in NPD. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, choices.ApprovalKind.CLEAR_NPD): CauseFacts(
        "Fields would be emptied in NPD", f"They were emptied on Monday. {_TOO_MANY}"
    ),
    (Kind.APPROVAL, UNREPORTED): CauseFacts(
        "Cells on Monday are empty, and nobody is known to have emptied them",
        "Their items may have been on another board, or Monday shows too little. NPD still has the values.",
    ),
    (Kind.REMOVED, "archived"): CauseFacts("Archived on the board"),
    (Kind.REMOVED, "deleted"): CauseFacts("Deleted on the board"),
    (Kind.REMOVED, "moved"): CauseFacts("Moved to another board"),
    (Kind.CONFLICT, ""): CauseFacts("{field} changed on both sides"),
    (Kind.CONFLICT, CODE_FIRST_MATCH): CauseFacts("{field} different since linking"),
    (Kind.CONFLICT, ConflictKind.OVERWRITTEN): CauseFacts(
        "An edit of {field} on Monday was lost", acts=("keep_current", "restore_edit")
    ),
    (Kind.CONFLICT, ConflictKind.DELETE): CauseFacts(
        "The item left the board",
        "Nothing is changed until somebody chooses here, or the items are back on the board.",
        acts=("create_item", "unlink", "delete_record"),
    ),
    (Kind.CONFLICT, DELETED_RECORD): CauseFacts(
        "Deleted in NPD, still on Monday",
        "The items stay on the board as they are until somebody chooses: restore the records, or remove or unlink the "
        "items.",
        acts=_ACTS_ON_DELETED_RECORD,
    ),
    (Kind.CONFLICT, RESTORED_ITEM): CauseFacts(
        "Deleted in NPD, and the item was restored on Monday",
        "The items had left the board with their records, and somebody restored them there. Nothing is changed until "
        "somebody chooses: restore the records, too, or remove or unlink the items.",
        acts=_ACTS_ON_DELETED_RECORD,
    ),
    (Kind.DUPLICATE, ""): CauseFacts(
        "Are these the same {record}?", acts=("link", "new_item", "new_record", "leave_alone")
    ),
    (Kind.DUPLICATE, SAME_NAME): CauseFacts(
        "Is it the item of the same name?",
        "The board has items with the names of these records, and on one side nothing that tells whether they are the "
        "same. Nothing is created until somebody answers, or fills that in.",
        acts=("same_name", "new_item"),
    ),
    (Kind.DUPLICATE, SECOND_ITEM): CauseFacts("Are these the same {record}?", acts=_SECOND_ITEM_ACTS),
    (Kind.DUPLICATE, NAMESAKE): CauseFacts(
        "Is it the {record} of the same name?",
        "Each of these items has the name of a record that has another item, and nothing else tells whether they are "
        "the same. Nothing is created until somebody answers, or fills that in.",
        acts=_SECOND_ITEM_ACTS,
    ),
    (Kind.DUPLICATE, UNPLANNED): replace(_UNPLANNED, acts=("new_item",)),
    (Kind.DUPLICATE, COPY): CauseFacts(
        "Copied on the board",
        "They had the NPD ID of a record that has another item. None becomes a record until somebody answers.",
        acts=(ARCHIVE_COPY, "new_record", "leave_alone"),
    ),
    (Kind.REJECTED, ""): CauseFacts("{field} was rejected by Monday", _OTHERS_SYNCED),
    (Kind.REJECTED, choices.BlockedCode.LIMIT): CauseFacts(
        "{field} has a value that its column can't take", _OTHERS_SYNCED, acts=("leave_both", "keep_monday")
    ),
    (Kind.BLOCKED, ""): CauseFacts("{field} is blocked"),
    (Kind.BLOCKED, choices.BlockedCode.COLUMN): CauseFacts(
        "{field}: its column can't be used",
        "If you restore the column on the board (by undo, or from its trash), its field is synced as before. If you "
        "choose another column, NPD's values are written into its empty cells, unless the field is synced to NPD only.",
        severity=Severity.COLUMN,
        acts=("check_column",),
    ),
    (Kind.BLOCKED, choices.BlockedCode.RELATION): CauseFacts("{field} waits for a record that has no item yet"),
    (Kind.BLOCKED, choices.BlockedCode.INVALID): CauseFacts("{field} has a value that NPD can't take"),
    (Kind.BLOCKED, choices.BlockedCode.UNKNOWN): CauseFacts("{field} can't be compared with Monday"),
    (Kind.BLOCKED, choices.BlockedCode.REQUIRED): CauseFacts("{field} is required in NPD and was emptied on Monday"),
    (Kind.BLOCKED, choices.BlockedCode.THROTTLED): CauseFacts(
        "{field} is in an update loop",
        "Each time NPD Sync writes this field, somebody or an automation writes another value on the board. So it "
        f"waits before it writes again. {_OTHERS_SYNCED} Stop the automation, then press “Retry”.",
    ),
    (Kind.BLOCKED, choices.BlockedCode.DIRECTION): CauseFacts("{field} isn't sent, because of its direction"),
    (Kind.BOARD, "npd_id"): CauseFacts(
        "Nothing new is created, because the NPD ID column is missing", icon="key_off", acts=("check_column",)
    ),
    (Kind.BOARD, choices.UnmatchedReason.CREATES_HELD): replace(_HELD, acts=("check_column", "create_anyway")),
    (Kind.BOARD, "silence"): CauseFacts("Monday reports no edits", severity=Severity.FAILED, icon="notifications_off"),
    (Kind.BOARD, "webhooks"): CauseFacts("Monday doesn't report every edit", severity=Severity.FAILED, icon="webhook"),
    (Kind.BOARD, "sweeps"): CauseFacts(
        "NPD Sync can't find all missed changes", severity=Severity.FAILED, icon="manage_search"
    ),
    (Kind.BOARD, "comparison"): CauseFacts(
        "The nightly comparison can't see everything", severity=Severity.FAILED, icon="rule"
    ),
    **{
        (Kind.BOARD, f"refused_{call}"): CauseFacts(
            f"{call.label} on the board", severity=Severity.FAILED, icon="front_hand"
        )
        for call in choices.CallKind
    },
    (Kind.UNMATCHED, ""): CauseFacts("No record belongs to it"),
    **{(Kind.UNMATCHED, code): CauseFacts(label) for code, label in choices.UnmatchedReason.choices},
    **{(Kind.UNMATCHED, code): CauseFacts(code.label, severity=Severity.NOTICE) for code in choices.CHOSEN_REASONS},
    (Kind.UNMATCHED, choices.UnmatchedReason.UNPLANNED): _UNPLANNED,
    (Kind.UNMATCHED, choices.UnmatchedReason.CREATES_HELD): _HELD,
}


def cause_of(kind: Kind, code: str) -> CauseFacts:
    """Return the facts of a cause, else those of its kind's other codes, else empty ones."""
    return CAUSES.get((kind, code)) or CAUSES.get((kind, "")) or CauseFacts()


def acts_of(kind: Kind, code: str) -> list[Act]:
    """Return the acts on entries of a cause, the main act first."""
    if kind is Kind.APPROVAL and code:
        return list(APPROVAL_ACTS[code])
    acts = cause_of(kind, code).acts
    return [ACTS[act] for act in (KINDS[kind].acts if acts is None else acts)]
