"""What a person may do about a thing that waits: each act once, which pages, API and questions read."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Act:
    """One act."""

    code: str
    label: str  # of one thing, as a button
    effect: str  # what it does, in a sentence
    # Of several at once, with their {number}, or as so many {records}, {items} or {fields}; empty: one by one.
    many: str = ""
    max_per_request: int = 0  # how many of them one request does; 0: any number
    asks: bool = False  # nobody does it without a question first
    deletes: bool = False  # a record or an item is gone after it, or a field is emptied
    way_back: str = ""  # how it is taken back by hand
    undo: bool = False  # “Undo” takes it back
    right: str = ""  # the permission that it needs
    record_right: str = ""  # and what one must be allowed to do with records of the type: add, change or delete
    key: str = ""  # its key on Home's rows

    @property
    def button(self) -> str:
        """Its label, with what says that a question follows."""
        return f"{self.label}…" if self.asks else self.label

    def title(self, *, number: str = "", records: str = "", items: str = "", fields: str = "") -> str:
        """What it is called of so many at once."""
        return self.many.format(number=number, records=records, items=items, fields=fields)


RESOLVES = "conflicts.change_syncconflict"

# The most conflicts that one request resolves, so that the page answers within seconds: each takes about 50 ms.
MAX_PER_REQUEST = 200

_UNTIL_THE_NEXT_SYNC = (
    "The records stay as they are on both sides until their next sync: after a save, an edit on the board, “Sync now”, "
    "or the next check for missed changes."
)

_ACTS = (
    # Jobs and fields.
    Act("retry", "Retry", "Tries it again as soon as its board can be synced, with all attempts.",
        "Retry {number}", right="sync.retry_syncqueue"),
    Act("cancel", "Cancel", f"Closes pending jobs without a sync. {_UNTIL_THE_NEXT_SYNC}",
        "Cancel {number}", asks=True, right="sync.cancel_syncqueue"),
    Act("discard", "Discard", f"Closes failed jobs without a sync. {_UNTIL_THE_NEXT_SYNC}",
        "Discard {number}", asks=True, right="sync.discard_syncqueue"),
    Act("check_column", "I have restored it: check now",
        "Asks Monday whether the column is back; nothing is written."),
    # Bulk deletions.
    Act("approve", "Approve", "Lets it be deleted or emptied, with the record's next sync.",
        "Approve {number}", asks=True, deletes=True, right="sync.change_approvalrequest"),
    Act("reject", "Reject", "Keeps what would be lost, and puts it back on the other side.",
        "Reject {number}", asks=True, right="sync.change_approvalrequest"),
    # Records and items that are gone on the other side.
    Act("create_item", "Create again",
        "Creates a new item on Monday from what NPD says now. The old item stays as it is; if it is restored later, it "
        "is listed as a possible duplicate.",
        "Create {items} again on Monday", asks=True,
        way_back="To go back, archive the new items on the board.", right=RESOLVES),
    Act("restore_record", "Restore", "Restores the record in NPD, linked with its item.",
        "Restore {records} in NPD", asks=True, way_back="To go back, delete the records again.", right=RESOLVES),
    Act("delete_record", "Delete", "Deletes the record in NPD, with what was edited there; Monday stays as it is.",
        "Delete {records} in NPD", asks=True,
        deletes=True, way_back="To go back, restore them from “Deleted records”, within 30 days.",
        right=RESOLVES, record_right="delete"),
    Act("archive_item", "Archive item", "Archives the item on Monday.", "Archive {items} on Monday",
        asks=True, deletes=True, way_back="To go back, restore the items from Monday's archive.",
        right=RESOLVES, record_right="delete"),
    Act("delete_item", "Delete item", "Deletes the item on Monday.", "Delete {items} on Monday",
        asks=True, deletes=True,
        way_back="To go back, restore the items from Monday's recycle bin, within 30 days.",
        right=RESOLVES, record_right="delete"),
    Act("unlink", "Unlink",
        "Leaves both sides as they are, and syncs them no more. An item that is restored makes no record.",
        "Unlink {records}", asks=True, way_back="To go back, link each again on its record's page.",
        right=RESOLVES),
    # Values that differ.
    Act("keep_npd", "Use NPD", "Writes NPD's value to Monday. Monday's value is overwritten.",
        "Use NPD in {number}", MAX_PER_REQUEST, undo=True, right=RESOLVES, key="1"),
    Act("keep_monday", "Use Monday", "Writes Monday's value into NPD. NPD's value is overwritten.",
        "Use Monday in {number}", MAX_PER_REQUEST, undo=True, right=RESOLVES, key="3"),
    # Items that no record has.
    Act("create_record", "Create record", "Creates a record in NPD from the item.", "Create {records}",
        record_right="add"),
    Act("ignore", "Ignore", "Leaves the item on Monday alone: it never becomes a record.",
        "Ignore {number}", undo=True, right="sync.change_unmatcheditem"),
    Act("link", "Link to", "Links the item with a record that is there; both are synced then.",
        asks=True, record_right="change"),
)  # fmt: skip

ACTS: Mapping[str, Act] = {act.code: act for act in _ACTS}
