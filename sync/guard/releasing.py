"""What is held lets itself go when its cause is gone, also where no look comes to say so."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from sync import registry
from sync.choices import GuardKind, GuardState, TombstoneState
from sync.clock import SyncNow
from sync.guard.limits import OPEN
from sync.models import FieldMapping, GuardedAct, SyncMetadata, Tombstone
from sync.models.synced import unsynced
from sync.registry import EntitySpec

ON_ITS_WAY = (TombstoneState.WAITING, TombstoneState.HELD)
CLEARS = (GuardKind.CLEAR_MONDAY, GuardKind.CLEAR_NPD)


def release(entity_type: str | None = None) -> int:
    """End every open act of which the cause is gone; returns how many were let go or turned out done."""
    specs = [spec for spec in registry.entities() if entity_type in (None, spec.entity_type)]
    return sum(_of_items(spec) + _of_records(spec) + _of_fields(spec) for spec in specs)


def _open(spec: EntitySpec, *kinds: GuardKind) -> QuerySet[GuardedAct]:
    return GuardedAct.objects.filter(entity_type=spec.entity_type, kind__in=kinds, state__in=OPEN)


def _end(acts: QuerySet[GuardedAct], *, carried_out: bool = False) -> int:
    """An approved act whose aim is reached was carried out; a rejected one was kept; all others let themselves go."""
    ids = list(acts.values_list("pk", flat=True))
    if not ids:
        return 0
    found = GuardedAct.objects.filter(pk__in=ids, state__in=OPEN)
    decided, end = (
        (GuardState.APPROVED, GuardState.DONE) if carried_out else (GuardState.REJECTED, GuardState.KEPT)
    )
    ended = found.filter(state=decided).update(state=end, at=SyncNow())
    return ended + found.update(state=GuardState.RELEASED, at=SyncNow())


def _of_items(spec: EntitySpec) -> int:
    """A tombstone that has been settled, or is no more, wants nothing deleted on Monday."""
    stones = Tombstone.objects.filter(entity_type=spec.entity_type, entity_id=OuterRef("entity_id"))
    acts = _open(spec, GuardKind.ITEMS)
    gone = (TombstoneState.ARCHIVED, TombstoneState.DELETED)
    done = _end(acts.filter(Exists(stones.filter(state__in=gone))), carried_out=True)
    return done + _end(acts.exclude(Exists(stones.filter(state__in=ON_ITS_WAY))))


def _of_records(spec: EntitySpec) -> int:
    """A record that is gone needs no deletion any more; nor does one whose item is back, or that is not synced."""
    records = spec.model._default_manager.filter(pk=OuterRef("entity_id"))
    acts = _open(spec, GuardKind.RECORDS)
    done = _end(acts.exclude(Exists(records)), carried_out=True)
    left = Q(monday_id=None) | unsynced()
    back = SyncMetadata.objects.filter(
        entity_type=spec.entity_type,
        system="monday",
        entity_id=Cast(OuterRef("entity_id"), TextField()),
        gone_since=None,
    )
    return done + _end(acts.filter(Exists(records.filter(left)) | Exists(back)))


def _of_fields(spec: EntitySpec) -> int:
    """A record that is gone, not synced or without an item, or a field that isn't mapped, can't be emptied."""
    synced = spec.model._default_manager.filter(pk=OuterRef("entity_id")).exclude(monday_id=None)
    mapped = FieldMapping.objects.filter(link__entity_type=spec.entity_type, key=OuterRef("key"))
    flows = Exists(synced.exclude(unsynced())) & Exists(mapped.exclude(column_id=""))
    return _end(_open(spec, *CLEARS).exclude(flows))
