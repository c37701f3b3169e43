"""What waits for a person: the rows of `sync_attention`, as entries, groups by cause, and counts.

Home, the record's page, the sidebar, the API, notifications and metrics read them here, each for what a person may see
(`kinds_shown_to`). From a thing that waits to its words, and so what a new kind needs:

1. a member of `AttentionKind` (models/attention.py)
2. a `Definition` (definitions.py), which says what waits: triggers write its rows, in the transaction that changes a
   job, a conflict, a sync state or a stop; rows with the same `cause` are one group
3. a row of `KINDS` and one of `CAUSES` (cause_table.py): who sees it, who acts, its severity, its title, its acts
4. its own reason in `_detail` and the page that solves it in `_url` (sentences.py), unless the general ones fit
5. for its own acts a function under `@does` (admin/home_acts.py)
"""

from sync.attention.cause_table import CAUSES, KINDS, OF_BOARDS, Severity, acts_of, cause_of
from sync.attention.rows import (
    IN_ORDER,
    KIND_PLACE,
    ShownKinds,
    counts,
    group_counts,
    in_order_of_groups,
    kinds_shown_to,
    may_act_on,
    may_do,
    oldest_of_each_cause,
    seen_by,
    waiting,
    with_keys,
    without_notices,
)
from sync.attention.sentences import (
    Entry,
    Group,
    SideValues,
    Wording,
    as_entries,
    common_type,
    entries,
    filled_label,
    groups,
    offered_acts,
    on_records,
)
from sync.models.attention import AttentionKind as Kind

__all__ = [
    "CAUSES", "IN_ORDER", "KINDS", "KIND_PLACE", "OF_BOARDS", "Entry", "Group", "Kind", "Severity", "ShownKinds",
    "SideValues", "Wording", "acts_of", "as_entries", "cause_of", "common_type", "counts", "entries", "filled_label",
    "group_counts", "groups", "in_order_of_groups", "kinds_shown_to", "may_act_on", "may_do", "offered_acts",
    "oldest_of_each_cause", "on_records", "seen_by", "waiting", "with_keys", "without_notices",
]  # fmt: skip
