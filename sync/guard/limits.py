"""How many deletes or clears are too many: what was let through within the hour, what waits, what a board may lose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from sync.choices import GuardKind, GuardState, ItemGone, TombstoneState
from sync.clock import SyncNow
from sync.models import BoardLink, GuardedAct, SyncMetadata, Tombstone
from sync.registry import entity

OPEN = (GuardState.HELD, GuardState.APPROVED, GuardState.REJECTED)
HOUR = timedelta(hours=1)
SMALL_BOARD = 50
"""Of a board with fewer linked records a share says nothing: two of ten is a person tidying up."""


_LATELY_DONE = Q(state=GuardState.DONE, decided_at=None, at__gt=SyncNow() - HOUR)
"""What a person approved is not counted: it was meant."""


class Guarded(Protocol):
    """Whatever names a record and one of its fields."""

    @property
    def entity_id(self) -> UUID:
        """The record's id."""

    @property
    def key(self) -> str:
        """The field, or an empty text for the record itself."""


@dataclass(frozen=True)
class Limit:
    """What one hour may delete or empty: `records`, and `percent` of `board` linked records; None is no limit."""

    records: int | None
    percent: int | None
    board: int

    def passed_by(self, number: int) -> bool:
        """Whether so many records in an hour are more than is let through without a person."""
        too_many = self.records is not None and number > self.records
        share = self.percent is not None and self.board >= SMALL_BOARD
        return too_many or (share and number * 100 > (self.percent or 0) * self.board)

    @property
    def words(self) -> str:
        """The limit as a person reads it."""
        parts = [f"more than {self.records}"] if self.records is not None else []
        if self.percent is not None and self.board >= SMALL_BOARD:
            parts.append(f"more than {self.percent} % of the board's {self.board:,}")
        return " or ".join(parts)


def limit_of(link: BoardLink) -> Limit:
    """Return the limit that holds for a board now; a setting of 0 switches its half off."""
    return Limit(settings.GUARD_RECORDS or None, settings.GUARD_PERCENT or None, _board_size(link))


def _board_size(link: BoardLink) -> int:
    """Linked records, those deleted within the hour too: else a mass delete would make its own board small."""
    linked = entity(link.entity_type).model._default_manager.exclude(monday_id=None).count()
    deleted = Tombstone.objects.filter(entity_type=link.entity_type, deleted_at__gt=SyncNow() - HOUR)
    return linked + deleted.exclude(monday_id=None).count()


def too_many(link: BoardLink, kind: GuardKind, asking: set[UUID]) -> bool:
    """Whether these records, with what counts already and what is sure to follow, are more than an hour may have."""
    return limit_of(link).passed_by(len(counted(link, kind) | asking | set(foreseen(link, kind))))


def counted(link: BoardLink, kind: GuardKind) -> set[UUID]:
    """Return the records that count toward the limit: let through within the hour, or waiting for approval."""
    acts = _of(link, kind).filter(_LATELY_DONE | Q(state=GuardState.HELD))
    return set(acts.values_list("entity_id", flat=True))


def state_of(link: BoardLink, kind: GuardKind, acts: Iterable[Guarded]) -> dict[tuple[UUID, str], str]:
    """Return the state by record and field of those acts that are known: open, or let through within the hour."""
    found = _of(link, kind).filter(
        _LATELY_DONE | Q(state__in=OPEN), entity_id__in={a.entity_id for a in acts}
    )
    # An open act is stored after one that was done: the later row is what holds.
    return {
        (i, key): state for i, key, state in found.order_by("id").values_list("entity_id", "key", "state")
    }


def _of(link: BoardLink, kind: GuardKind) -> QuerySet[GuardedAct]:
    return GuardedAct.objects.filter(entity_type=link.entity_type, kind=kind)


def foreseen(link: BoardLink, kind: GuardKind) -> Iterable[UUID]:
    """Return the records of which it is known already that they will ask for the same, so that no half goes ahead."""
    if kind == GuardKind.ITEMS:
        waiting = Tombstone.objects.filter(
            entity_type=link.entity_type, state=TombstoneState.WAITING, deleted_at__gt=SyncNow() - HOUR
        )
        return waiting.exclude(monday_id=None).values_list("entity_id", flat=True)
    if kind == GuardKind.RECORDS and link.item_gone == ItemGone.DELETE:
        gone = SyncMetadata.objects.filter(
            entity_type=link.entity_type, system="monday", gone_since__gt=SyncNow() - HOUR
        )
        return [UUID(entity_id) for entity_id in gone.values_list("entity_id", flat=True)]
    return []
