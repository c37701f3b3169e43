"""What waits for a person: rows in one place (`sync_attention`), and the one table of causes.

`sources` defines for each kind what waits, and keeps the rows by triggers: who changes a job, a conflict, a sync state
or a stop changes the rows in the same transaction, and nobody has to call anything. `cause_table` says what each kind
and code is called, how grave it is and who may do what. `reading` has the groups by cause, a page of a group, and
counts, for a person (`scope_of`). Home, record page, badge, API, notifications and metrics read those.
"""

from sync.attention.cause_table import CAUSES, KINDS, OF_BOARDS, Cause, Severity, acts_of, cause_of, severity_of
from sync.attention.reading import (
    EVERYTHING,
    ORDER,
    WHERE_TO_UNBLOCK,
    Entry,
    Group,
    Scope,
    SideValues,
    Tally,
    Wording,
    as_entries,
    counts,
    entries,
    groups,
    keys,
    may_act_on,
    may_do,
    on_record,
    scope_of,
    seen_by,
    tallies,
    waiting,
    without_where,
)
from sync.models.attention import AttentionKind as Kind

__all__ = [
    "CAUSES", "EVERYTHING", "KINDS", "OF_BOARDS", "ORDER", "WHERE_TO_UNBLOCK", "Cause", "Entry", "Group", "Kind",
    "Scope", "Severity", "SideValues", "Tally", "Wording", "acts_of", "as_entries", "cause_of", "counts", "entries",
    "groups", "keys", "may_act_on", "may_do", "on_record", "scope_of", "seen_by", "severity_of", "tallies", "waiting",
    "without_where",
]  # fmt: skip
