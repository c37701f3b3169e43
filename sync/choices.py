"""The stored values of states and reasons. Those that docs/reference/tables.md names are contracts."""

from enum import IntFlag, StrEnum
from functools import cache

from django.db import models


class RecordSyncStatus(models.TextChoices):
    """A record's `sync_status`. Pages show `RecordState` (sync/state/record_view.py), which also knows what waits."""

    SYNCED = "synced", "Synced"
    PENDING = "pending", "Pending"
    CONFLICT = "conflict", "Conflict"
    DISABLED = "disabled", "Sync off"


class SyncDirection(models.TextChoices):
    """The directions in which changes of a record or a field are synced."""

    BIDIRECTIONAL = "bidirectional", "Both ways"
    NPD_TO_MONDAY = "npd_to_monday", "NPD to Monday only"
    MONDAY_TO_NPD = "monday_to_npd", "Monday to NPD only"
    NONE = "none", "Sync off"

    @property
    def sends(self) -> bool:
        return self in (SyncDirection.BIDIRECTIONAL, SyncDirection.NPD_TO_MONDAY)


@cache  # asked for each field of each record
def common_direction(of_record: str, of_field: str) -> SyncDirection:
    """Return the direction that both directions allow."""
    limits = {of_record, of_field} - {SyncDirection.BIDIRECTIONAL}
    if not limits:
        return SyncDirection.BIDIRECTIONAL
    return SyncDirection(*limits) if len(limits) == 1 else SyncDirection.NONE


class Rule(models.TextChoices):
    """The rules for a field that both sides changed."""

    ASK = "ask", "Ask"
    NPD_WINS = "npd_wins", "NPD wins"
    MONDAY_WINS = "monday_wins", "Monday wins"
    NEWEST = "newest", "The newer edit wins"
    UNION = "union", "Merge lists"


class SyncStatus(models.TextChoices):
    """The result of a record's last pass, in its sync state; IN_PROGRESS only of what other code syncs (sync/state)."""

    PENDING = "pending", "Pending"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETED = "completed", "Done"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Sync off"


class SyncStateDirection(models.TextChoices):
    """The direction in which the last pass moved data."""

    LOCAL_TO_REMOTE = "local_to_remote", "NPD to the other side"
    REMOTE_TO_LOCAL = "remote_to_local", "The other side to NPD"
    BIDIRECTIONAL = "bidirectional", "Both ways"


class StopCode(models.TextChoices):
    """Why calls are stopped. What follows from it: the groups below; the waits: `Backoff` in limits/breaker.py."""

    # All calls of the account.
    TOKEN = "token", "Monday rejects the API token"
    ACCOUNT = "account", "Monday rejects every call of the account"
    DAY_LIMIT = "day_limit", "Today's calls to Monday are used up"
    LIMIT = "limit", "Monday's limit of calls is reached"
    OUTAGE = "outage", "Monday doesn't answer"
    # Its writes.
    WRITES = "writes", "Monday doesn't store what is sent"
    # The calls of a board, or those of one kind.
    BOARD = "board", "Monday refuses what concerns the board"


# Stops that end with their wait. Any other ends once a call that it stops succeeds.
ENDING_STOPS = (StopCode.LIMIT, StopCode.DAY_LIMIT)

# Stops that may be over within seconds: they are news only if they last, and don't replace the reason of a longer wait.
BRIEF_STOPS = (StopCode.LIMIT, StopCode.OUTAGE)

# Stops that last until a person acts, on Monday or by another token.
LASTING_STOPS = (StopCode.TOKEN, StopCode.ACCOUNT, StopCode.BOARD)


class CallKind(models.TextChoices):
    """A kind of call that writes to a board, with what is said while Monday refuses it there."""

    CREATE = "create", "New items can't be made"
    CHANGE = "change", "Nothing can be changed"
    ARCHIVE = "archive", "Nothing can be archived"
    DELETE = "delete", "Nothing can be deleted"


class ActivityKind(models.TextChoices):
    """What a line of activity is about, with the words of its icon."""

    PUSH = "push", "Sent to Monday"
    PULL = "pull", "Updated from Monday"
    CREATE = "create", "Created"
    IMPORT = "import", "Imported"
    EDIT = "edit", "Edited"  # and not, or not alone, what a pass sent or took over
    UNDO = "undo", "Undo"
    LINK = "link", "Linked"
    UNLINKED = "unlinked", "Unlinked"
    LEFT_OUT = "left_out", "Left out or let in by the filter"
    LET_IN = "let_in", "Left out or let in by the filter"
    BLOCKED = "blocked", "Blocked"
    LOOP = "loop", "Blocked"
    APPROVAL = "approval", "Approvals"
    REMOVED = "removed", "Gone from the board, or back"
    RETURNED = "returned", "Gone from the board, or back"
    DELETE = "delete", "Deleted"
    ARCHIVED = "archived", "Archived on Monday"
    DELETED = "deleted", "Deleted on Monday"
    RESTORED = "restored", "Restored"
    OVERWRITTEN = "overwritten", "Lost on Monday"
    REJECTED = "rejected", "Resolution"
    CONFLICT_FOUND = "conflict_found", "Conflict found"
    CONFLICT_IDENTITY = "conflict_identity", "Copy on the board"  # what became of a second item
    CONFLICT_CHOSEN = "conflict_chosen", "Resolution"
    CONFLICT_SETTLED = "conflict_settled", "Resolution"
    CONFLICT_OVER = "conflict_over", "Conflict closed"
    CONFLICT_RETURNED = "conflict_returned", "Resolution"
    CONFLICT_UNDO = "conflict_undo", "Undo"
    CONFLICT_UNDO_REFUSED = "conflict_undo_refused", "Undo"
    PAUSE = "pause", "Paused or resumed"
    STOP = "stop", "Stopped, or running again"
    STOP_END = "stop_end", "Stopped, or running again"
    COLUMN = "column", "Board changed"
    SETTINGS = "settings", "Settings changed"  # by a person, also users and groups
    JOB = "job", "Job retried or ended"  # by a person


class ResolutionStrategy(models.TextChoices):
    """How conflicts of sync states are resolved that other code keeps, with Jira for example (sync/state)."""

    AUTO = "auto", "By the merge's rules"
    MANUAL = "manual", "A person decides"
    JIRA_WINS = "jira_wins", "Jira wins"
    LOCAL_WINS = "local_wins", "NPD wins"
    MONDAY_WINS = "monday_wins", "Monday wins"


class QueueStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETED = "completed", "Done"
    FAILED = "failed", "Failed"


class QueueDirection(models.TextChoices):
    """The side that caused a job. A pass compares both sides anyway; it is part of the upsert's key."""

    TO_MONDAY = "to_monday", "To Monday"
    TO_NPD = "to_npd", "To NPD"


# The change that caused a job, mostly for display: a pass decides by the data.
UPDATE = "update"
DELETE = "delete"
OPERATIONS = [("create", "Create"), (UPDATE, "Update"), (DELETE, "Delete")]


class Priority(models.IntegerChoices):
    """Smaller is more urgent."""

    PERSON = 10, "A person's click"
    EDIT = 20, "A new edit"
    SWEEP = 30, "A check for missed changes"
    LOAD = 40, "A load of many records"


class Cause(IntFlag):
    """What caused a job; a job may have several causes."""

    SAVE = 1
    PERSON = 2
    WEBHOOK = 4
    SWEEP = 8
    FAILURE = 16
    DEPENDENCY = 32  # another record, a choice, or NPD Sync itself


# The priority of a job by its cause, unless whoever writes it names another.
PRIORITY_OF = {
    Cause.SAVE: Priority.EDIT,
    Cause.PERSON: Priority.PERSON,
    Cause.WEBHOOK: Priority.EDIT,
    Cause.SWEEP: Priority.SWEEP,
    Cause.DEPENDENCY: Priority.EDIT,
}


class SetupState(models.TextChoices):
    """How far a started set-up is."""

    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    DONE = "done", "Applied"


class RemovedItemPolicy(models.TextChoices):
    """What happens to an unchanged record after its item was archived or deleted on Monday: asked, or an act's code."""

    ASK = "ask", "Ask"
    UNLINK = "unlink", "Unlink the record"
    DELETE = "delete_record", "Delete the record"
    CREATE = "create_item", "Create the item again"


class DeletedRecordPolicy(models.TextChoices):
    """What happens to an unchanged item after its record was deleted in NPD: asked, or an act's code."""

    ARCHIVE = "archive_item", "Archive the item"
    DELETE = "delete_item", "Delete the item"
    UNLINK = "unlink", "Unlink the item"
    ASK = "ask", "Ask"


class ColumnProblem(StrEnum):
    MISSING = "missing"
    RETYPED = "retyped"
    HIDDEN = "hidden"  # on the board, but its items don't show it


API_TOKEN = "api_token"  # noqa: S105 - a name
WEBHOOK_TOKEN = "webhook_token"  # noqa: S105 - a name
# The stored secrets: the API token, and the secret part of the webhooks' address.
SECRET_NAMES = {API_TOKEN: "API token", WEBHOOK_TOKEN: "Webhook token"}


class BlockedCode(StrEnum):
    """Why a field is blocked."""

    COLUMN = "column"
    REJECTED = "rejected"
    LIMIT = "limit"  # longer or larger than the column takes
    RELATION = "relation"  # waits for the item of the related record
    RELATION_SKIPPED = "relation_skipped"  # the related record will have no item
    INVALID = "invalid"
    UNKNOWN = "unknown"  # Monday's value can't be read
    REQUIRED = "required"
    THROTTLED = "throttled"  # in an update loop
    APPROVAL = "approval"
    DIRECTION = "direction"


class TombstoneState(models.TextChoices):
    """The state of a deleted record's item."""

    WAITING = "waiting", "Its item is checked next"
    ASKED = "asked", "Waits for your decision"
    PENDING_APPROVAL = "pending_approval", "Waits for approval"
    ARCHIVED = "archived", "Its item was archived"
    DELETED = "deleted", "Its item was deleted"
    UNLINKED = "unlinked", "Its item was unlinked"
    KEPT = "kept", "Its item stays as it is"
    NOTHING_LEFT = "nothing_left", "Nothing was left to do"
    RESTORED = "restored", "The record was restored"


class TombstoneReason(models.TextChoices):
    """The reason for the state of a deleted record's item, or the question about it; worded as `because_…`."""

    NO_ITEM = "no_item"
    OTHER_OWNER = "other_owner"
    OTHER_NPD_ID = "other_npd_id"
    SYNC_OFF = "sync_off"
    LEFT_OUT = "left_out"
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
    ERASED = "erased"
    QUESTION_EDITED = "question_edited"
    QUESTION_RESTORED = "question_restored"

    @property
    def state(self) -> TombstoneState:
        """The item's state for this reason; for REMOVED_BEFORE that of ARCHIVED or DELETED holds instead."""
        reason = TombstoneReason
        if self in (reason.QUESTION, reason.QUESTION_EDITED, reason.QUESTION_RESTORED):
            return TombstoneState.ASKED
        if self in (reason.SYNC_OFF, reason.LEFT_OUT, reason.ONE_WAY, reason.MOVED, reason.REMOVAL_REJECTED):
            return TombstoneState.KEPT
        # The others are called like their states, or nothing is left to do.
        return TombstoneState(self) if self.value in TombstoneState.values else TombstoneState.NOTHING_LEFT


class UnmatchedReason(models.TextChoices):
    """Why an item has no record, with its name in lists; reasons that a person can end come first."""

    AMBIGUOUS = "ambiguous", "Several records fit"
    DUPLICATE = "duplicate", "A copy of another item"
    SYNC_OFF = "sync_off", "Its record's sync is off"
    NO_KEY = "no_key", "No {label}, so we can't tell who this is"
    UNPLANNED = "unplanned", "Not in the set-up's plan"
    INVALID = "invalid", "A value is missing or wrong"
    RECORD_DELETED = "record_deleted", "Its record was deleted in NPD"
    DATABASE_REJECTED = "database_rejected", "NPD's database rejected it"
    KEY_UNREADABLE = "key_unreadable", "A column can't be read"
    NPD_ID_UNREADABLE = "npd_id_unreadable", "The NPD ID can't be read"
    CREATION_OFF = "creation_off", "New items don't become records"
    CREATES_HELD = "creates_held", "Nothing new is created for now"
    LEFT_OUT = "left_out", "Left out by the filter"
    NO_KEY_YET = "no_key_yet", "No {label} yet, so we can't tell who this is"
    BEING_EDITED = "being_edited", "Somebody is filling it in"
    UNCONFIRMED = "unconfirmed", "Not confirmed by Monday yet"
    QUEUED = "queued", "Checked next"


# Reasons that need nobody's attention: three end by themselves, conflicts ask about AMBIGUOUS and DUPLICATE, LEFT_OUT
# is intended.
QUIET_REASONS = (
    UnmatchedReason.QUEUED,
    UnmatchedReason.UNCONFIRMED,
    UnmatchedReason.BEING_EDITED,
    UnmatchedReason.AMBIGUOUS,
    UnmatchedReason.DUPLICATE,
    UnmatchedReason.LEFT_OUT,
)

# Reasons that somebody has chosen: by a setting of the board, or by turning a record's sync off. Items have NO_KEY only
# where new items don't become records, otherwise NO_KEY_YET.
CHOSEN_REASONS = (UnmatchedReason.CREATION_OFF, UnmatchedReason.NO_KEY, UnmatchedReason.SYNC_OFF)

# Reasons that need a person only if they last: the item is looked at again by itself.
PASSING_REASONS = (
    UnmatchedReason.KEY_UNREADABLE,
    UnmatchedReason.NPD_ID_UNREADABLE,
    UnmatchedReason.NO_KEY_YET,
    UnmatchedReason.CREATES_HELD,
)


class ApprovalKind(models.TextChoices):
    ITEMS = "items", "Archive or delete items on Monday"
    RECORDS = "records", "Delete records in NPD"
    CLEAR_MONDAY = "clear_monday", "Empty fields on Monday"
    CLEAR_NPD = "clear_npd", "Empty fields in NPD"


class ApprovalState(models.TextChoices):
    PENDING = "pending", "Waits for approval"
    APPROVED = "approved", "Approved, not done yet"
    REJECTED = "rejected", "Rejected, not put back yet"
    RELEASED = "released", "Not needed any more"
    DONE = "done", "Done"
    KEPT = "kept", "Rejected, left as it is"
    REFILLED = "refilled", "Filled in again"  # a cell that nobody emptied; nobody had to decide
