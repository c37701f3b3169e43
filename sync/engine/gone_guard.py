"""Records whose items are gone are deleted in NPD only as far as the guard lets them go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sync.choices import GuardKind, GuardState
from sync.clock import SyncNow
from sync.engine import guarding
from sync.engine.gone import Act
from sync.engine.subjects import Batch, Outcome, Subject
from sync.engine.values import name_of
from sync.hooks import KIND_DELETE
from sync.lease import giving_way
from sync.models import GuardedAct


def turned_down(batch: Batch, subjects: Sequence[Subject]) -> dict[UUID, str]:
    """Return the records whose deletion a person rejected since their items are gone: `rejected`, later `kept`.

    Until the item is back no policy deletes these; what a person chooses afterwards is a new wish.
    """
    since = {s.id: s.ledger.gone_since for s in subjects if s.ledger.gone_since}
    acts = GuardedAct.objects.filter(
        entity_type=batch.board.link.entity_type,
        kind=GuardKind.RECORDS,
        entity_id__in=since,
        state__in=(GuardState.REJECTED, GuardState.KEPT),
    )
    found = {a.entity_id: a.state for a in acts.order_by("id") if a.at >= since[a.entity_id]}
    acts.filter(state=GuardState.REJECTED, entity_id__in=found).update(state=GuardState.KEPT, at=SyncNow())
    return found


def guard_deletions(batch: Batch, subjects: Sequence[Subject]) -> None:
    """Ask the guard for these deletions in NPD, and hold those that it doesn't let go now."""
    if not subjects:
        return
    wanted = {subject.id: _as_act(subject) for subject in subjects}

    def ask() -> set[guarding.Act]:
        with batch.lease.held():
            return guarding.allowed(batch, GuardKind.RECORDS, list(wanted.values()))

    going = giving_way(ask)
    for subject in subjects:
        if wanted[subject.id] not in going:
            _hold(subject)


def release_unwanted(batch: Batch, subjects: Sequence[Subject]) -> None:
    """Deletions of these records that wait for approval are over: by now it is to be something else, or is asked."""
    if subjects:
        ids = [subject.id for subject in subjects]
        giving_way(lambda: guarding.let_go(batch, GuardKind.RECORDS, ids))


def _as_act(subject: Subject) -> guarding.Act:
    record = subject.record
    values = {conflict.key: conflict.npd for conflict in subject.gone.fields} if subject.gone else {}
    return guarding.Act(subject.id, record.monday_id or "", label=name_of(record), values=values)


def _hold(subject: Subject) -> None:
    """Neither asked nor done: a choice that led here stays with its conflict."""
    gone = subject.gone
    assert gone is not None
    asked = any(conflict.kind == KIND_DELETE for conflict in subject.conflicts)
    subject.gone = replace(gone, act=Act.NOTHING, options=gone.options if asked else ())
    subject.end(
        Outcome.SETTLED,
        note=f"{gone.what} Its deletion in NPD waits for approval: too many records would go at once. See “Waiting for "
        "approval” in the admin.",
    )
