"""How a look at copies ends: the question about each, the record's log, and the queue rows, in one transaction."""

from __future__ import annotations

from sync import finish
from sync.choices import QueueDirection
from sync.clock import SyncNow
from sync.engine.copies import ACTIVE, Copy, answered, options
from sync.engine.items_shown import item_as_told
from sync.engine.paused_graves import item_waits
from sync.engine.subjects import Batch, Outcome
from sync.hooks import KIND_IDENTITY, RECORD, Finding, desk
from sync.lease import giving_way
from sync.models import Decision, WebhookEvent


def settle_copies(batch: Batch) -> None:
    """Store what became of every copy; raises LeaseLost."""
    giving_way(lambda: _store(batch))


def wait_with_copies(batch: Batch) -> None:
    """Writing to Monday is paused: copies stay as they are, with their questions and answers; raises LeaseLost."""
    for subject in [subject for subject in batch.open if any(answered(subject))]:
        subject.waits.add(QueueDirection.TO_MONDAY)
    if batch.copies:
        giving_way(lambda: _leave_rows(batch))


def _leave_rows(batch: Batch) -> None:
    with batch.lease.held():
        for claimed in [copy.claimed for copy in batch.copies if copy.claimed]:
            if not item_waits(batch, claimed, QueueDirection.TO_MONDAY):  # resumed meanwhile
                batch.snoozed.add(claimed.rows[0].id)
                finish.give_back(claimed.rows, batch.lease.token, "")


def _store(batch: Batch) -> None:
    with batch.lease.held():
        for copy in batch.copies:
            if copy.subject is not None:
                _store_answer(batch, copy)
            else:
                _store_found(batch, copy)


def _store_found(batch: Batch, copy: Copy) -> None:
    assert copy.claimed is not None
    rows, token = copy.claimed.rows, batch.lease.token
    if copy.outcome is Outcome.FAILED:
        batch.snoozed.add(rows[0].id)
        finish.fail(rows, token, copy.words)
    elif copy.outcome is not Outcome.SETTLED:
        batch.snoozed.add(rows[0].id)
        finish.give_back(rows, token, copy.words)
    else:
        words = _parted(batch, copy)
        finish.complete(rows, token, words)
        WebhookEvent.objects.filter(item_id=copy.item.id, weighed_at=None).update(
            weighed_at=SyncNow(), outcome=words[:200]
        )


def _parted(batch: Batch, copy: Copy) -> str:
    """Log that the NPD ID was taken off the copy, and ask about it unless it was archived; return the words."""
    if copy.archived:
        words = (
            f"A second item “{copy.item.name}” was on the board, made by a call of ours whose answer was lost; nobody "
            "had touched it, so it was archived."
            if copy.ours
            else f"A second item “{copy.item.name}” bore this NPD ID; it is not on the board any more."
        )
        _say(batch, copy, "archived", words)
        return words
    words = f"A second item “{copy.item.name}” bore this NPD ID. It was taken off that one; the link stays."
    _say(batch, copy, "conflict_identity", words)
    data = {
        "what": copy.what,
        "item": item_as_told(batch.board, copy.item),
        "candidates": [
            {"id": str(copy.record.pk), "label": str(copy.record), "linked_to": copy.record.monday_id}
        ],
        "options": [option.to_json() for option in options(copy)],
    }
    desk().record([_finding(batch, copy, data=data)])
    return f"Who is this? {copy.what}"


def _store_answer(batch: Batch, copy: Copy) -> None:
    """Carry a person's answer out; a failed one is tried again with the record's next look."""
    assert copy.choice is not None
    assert copy.subject is not None
    if copy.outcome is not Outcome.SETTLED:
        copy.subject.end(Outcome.FAILED if copy.outcome is Outcome.FAILED else Outcome.GIVEN_BACK, copy.words)
        return
    words = f"The item “{copy.item.name}” was a copy of “{copy.record}”; it was archived on Monday."
    if copy.item.state != ACTIVE:
        words = f"The item “{copy.item.name}” isn't on the board any more; nothing was left to do."
    if copy.owner:
        words = f"The item “{copy.item.name}” is that of “{copy.owner}” by now, so it stays on the board."
    _say(batch, copy, "conflict_identity" if copy.owner else "archived", words)
    desk().record([_finding(batch, copy, applied={RECORD: words}, closing_note=words)])
    copy.subject.conflicts = [c for c in copy.subject.conflicts if c.monday_item_id != copy.item.id]


def _finding(batch: Batch, copy: Copy, **more: object) -> Finding:
    return Finding(
        batch.board.link.entity_type,
        copy.record.pk,
        copy.item.id,
        KIND_IDENTITY,
        **more,  # type: ignore[arg-type]
    )


def _say(batch: Batch, copy: Copy, kind: str, sentence: str) -> None:
    Decision.objects.create(
        entity_type=batch.board.link.entity_type,
        entity_id=copy.record.pk,
        remote_id=copy.item.id,
        kind=kind,
        sentence=sentence,
        batch_id=batch.id,
        request_id=batch.read_request,
        cause={"read": batch.read_request, "rule": "a second item bears the record's NPD ID"},
    )
