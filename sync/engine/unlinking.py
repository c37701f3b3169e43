"""A record lets go of its item: the item's NPD ID is cleared, then sync goes off, and the item is remembered.

The clearing goes through the look's usual write, announced by an intent; settling turns sync off only when it was
carried out, or when there is no item any more that bears the id. NPD's and Monday's values stay as they are. The base
stays in the ledger, for the day on which a person links the two again (sync/letting_go.py).
"""

from __future__ import annotations

from typing import Any

from sync.engine.reading import npd_id_of
from sync.engine.subjects import Batch, Outcome, Subject
from sync.letting_go import UNLINK, remember

ACTIVE = "active"


def unlink(subject: Subject, why: str, *, actor: str = "") -> None:
    """Unlink the subject in this look: nothing else of it is sent or taken over.

    `why` is a clause without a full stop, as “its item was deleted on Monday”; it stands in the record's log and
    beside the item. May be called for a subject that identify ended; not after plan.
    """
    subject.unlinks, subject.unlinks_for = why, actor
    subject.planned, subject.creates, subject.link_to = {}, False, None
    if subject.outcome in (Outcome.SETTLED, Outcome.SNOOZED):
        subject.end(Outcome.SETTLED, note="")


def unlink_where_asked(batch: Batch) -> None:
    """Unlink those records of which a person asked for it; what became of the item doesn't matter."""
    for subject in batch.subjects:
        why = str(subject.claimed.payload.get(UNLINK, ""))
        if why and subject.record.monday_id:
            unlink(subject, why, actor=str(subject.claimed.payload.get("by", "")))


def cleared_columns(batch: Batch, subject: Subject) -> dict[str, Any]:
    """Return what an unlinked subject's write is: its item's NPD ID emptied, where it bears one."""
    column, item = batch.board.link.npd_id_column, subject.item
    if not column or item is None or item.state != ACTIVE:
        return {}
    if item.board_id not in (None, batch.board.link.board_id):
        return {}
    return {} if npd_id_of(batch.board, item) == "" else {column: None}


def let_go(subject: Subject) -> dict[str, Any]:
    """Return what settling writes to an unlinked record, and remember its item; nothing where the look failed."""
    item_id = subject.record.monday_id
    if not subject.unlinks or subject.outcome is not Outcome.SETTLED or not item_id:
        return {}
    remember(
        subject.record.entity_type(), item_id, subject.id, f"Let go of “{subject.record}”: {subject.unlinks}."
    )
    subject.say(
        "unlinked",
        f"Unlinked from its item: {subject.unlinks}. Its sync is off; both sides keep what they have. "
        "“Link again” on the record's page undoes it.",
        actor=subject.unlinks_for,
    )
    subject.ledger.remote_state = ""
    return {"monday_id": None, "sync_enabled": False}
