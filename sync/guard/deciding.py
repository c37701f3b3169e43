"""A person decides what the guard held: approve it, or reject it, which keeps what would be lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, QuerySet

from sync import wake
from sync.acts_log import note_many
from sync.choices import Cause, GuardKind, GuardState, Priority
from sync.clock import SyncNow
from sync.enqueue import enqueue_many
from sync.models import Decision, GuardedAct


@dataclass(frozen=True)
class Waiting:
    """What waits for approval of one board and kind: so many records, so many fields of them."""

    entity_type: str
    kind: GuardKind
    records: int
    acts: int


def waiting() -> list[Waiting]:
    """Return what waits for approval, by board and kind."""
    groups = (
        GuardedAct.objects.filter(state=GuardState.HELD)
        .values_list("entity_type", "kind")
        .annotate(Count("entity_id", distinct=True), Count("id"))
        .order_by("entity_type", "kind")
    )
    return [Waiting(entity, GuardKind(kind), records, acts) for entity, kind, records, acts in groups]


def approve(acts: QuerySet[GuardedAct], by: AbstractBaseUser) -> int:
    """Let what is held of these go; returns how many acts that were, each carried out at its record's next look."""
    return _decide(acts, by, GuardState.APPROVED)


def reject(acts: QuerySet[GuardedAct], by: AbstractBaseUser) -> int:
    """Keep what these would delete or empty; returns how many acts that were.

    An emptied field gets its value back from the other side; a deleted record's item stays as it is; a record whose
    item is gone stays and asks what becomes of it.
    """
    return _decide(acts, by, GuardState.REJECTED)


def _decide(acts: QuerySet[GuardedAct], by: AbstractBaseUser, state: GuardState) -> int:
    with transaction.atomic():
        named = GuardedAct.objects.filter(pk__in=acts.values("pk"), state=GuardState.HELD)
        held = list(named.select_for_update().order_by("pk"))
        GuardedAct.objects.filter(pk__in=[act.pk for act in held]).update(
            state=state, decided_at=SyncNow(), decided_by=by.pk
        )
        Decision.objects.bulk_create(_line(act, by, state) for act in held)
        note_many(by, held, "Approved." if state is GuardState.APPROVED else "Rejected.")
        for entity_type, ids in _records(held):
            enqueue_many(
                entity_type,
                ids,
                cause=Cause.PERSON,
                priority=Priority.PERSON,
                payload={"by": by.get_username()},
            )
    for entity_type in {act.entity_type for act in held}:
        wake.send(entity_type)
    return len(held)


def _records(acts: Iterable[GuardedAct]) -> Iterable[tuple[str, list[UUID]]]:
    by_type: dict[str, Counter[UUID]] = {}
    for act in acts:
        by_type.setdefault(act.entity_type, Counter())[act.entity_id] += 1
    return [(entity_type, list(ids)) for entity_type, ids in by_type.items()]


def _line(act: GuardedAct, by: AbstractBaseUser, state: GuardState) -> Decision:
    what = act.get_kind_display().lower()
    how = "approved" if state is GuardState.APPROVED else "rejected"
    return Decision(
        entity_type=act.entity_type,
        entity_id=act.entity_id,
        remote_id=act.remote_id,
        key=act.key,
        kind="guard",
        sentence=f"{by.get_username()} {how} what the guard held ({what}): {act.label}.",
        values=act.values,
        actor=by.get_username(),
        cause={"by": by.get_username(), "causes": ["person"]},
    )
