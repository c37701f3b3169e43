"""The guard: a look that would delete or empty more than is plausible is held for approval.

A look's acts of one kind go or are held together: they go where they and what counts already (let through within
the hour, or waiting) stay within the limit. How that was decided: docs/decisions/0035-guard.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.choices import GuardKind, GuardState
from sync.clock import SyncNow
from sync.engine.subjects import Batch
from sync.guard.limits import OPEN, state_of, too_many
from sync.models import BoardLink, GuardedAct


@dataclass(frozen=True)
class Act:
    """One delete or clear that a look wants to carry out.

    `key` is the field of a clear, else empty; `label` what would be deleted or emptied, for people; `values` what
    would be lost, as displayed. Two acts on the same record and field are equal.
    """

    entity_id: UUID
    remote_id: str = ""
    key: str = ""
    label: str = field(default="", compare=False)
    values: dict[str, Any] = field(default_factory=dict, compare=False)


def allowed(where: Batch | BoardLink, kind: GuardKind, wanted: Sequence[Act]) -> set[Act]:
    """Return those acts that may go now, and hold the others for approval.

    Call it under the board's lease, once a look and kind, right before the acts are announced. What goes is counted
    before it is sent, so a crash leaves it counted; asked again within the hour it goes, and counts once. An approved
    act goes without counting. Of acts that a person rejected, `rejected` tells.
    """
    if not wanted:
        return set()
    link = _link(where)
    state = state_of(link, kind, wanted)
    going = {
        act for act in wanted if state.get((act.entity_id, act.key)) in (GuardState.APPROVED, GuardState.DONE)
    }
    fresh = [act for act in wanted if (act.entity_id, act.key) not in state]
    if fresh and too_many(link, kind, {act.entity_id for act in fresh}):
        _store(link, kind, fresh, GuardState.HELD)
        return going
    _store(link, kind, fresh, GuardState.DONE)
    return going | set(fresh)


def let_through(where: Batch | BoardLink, kind: GuardKind, acts: Sequence[Act]) -> None:
    """Count acts that go without asking, because the caller asked `too_many` itself; in the caller's look."""
    if not acts:
        return
    link = _link(where)
    state = state_of(link, kind, acts)
    _store(link, kind, [act for act in acts if (act.entity_id, act.key) not in state], GuardState.DONE)


def rejected(where: Batch | BoardLink, kind: GuardKind, ids: Sequence[UUID]) -> set[UUID]:
    """Return those records whose act of this kind a person rejected: it is not to be carried out."""
    link = _link(where)
    acts = GuardedAct.objects.filter(
        entity_type=link.entity_type, kind=kind, entity_id__in=ids, state=GuardState.REJECTED
    )
    return set(acts.values_list("entity_id", flat=True))


def let_go(where: Batch | BoardLink, kind: GuardKind, ids: Sequence[UUID]) -> None:
    """End what is open of these records: a look found that it wants none of this kind any more."""
    link = _link(where)
    acts = GuardedAct.objects.filter(
        entity_type=link.entity_type, kind=kind, entity_id__in=ids, state__in=OPEN
    )
    acts.update(state=GuardState.RELEASED, at=SyncNow())


def _link(where: Batch | BoardLink) -> BoardLink:
    return where.board.link if isinstance(where, Batch) else where


def _store(link: BoardLink, kind: GuardKind, acts: Sequence[Act], state: GuardState) -> None:
    GuardedAct.objects.bulk_create(
        GuardedAct(
            entity_type=link.entity_type,
            entity_id=act.entity_id,
            remote_id=act.remote_id,
            kind=kind,
            key=act.key,
            label=act.label,
            values=act.values,
            state=state,
        )
        for act in acts
    )
