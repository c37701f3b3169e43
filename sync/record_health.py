"""How a record's sync stands, told apart as people ask: each record is in exactly one group, and why in one part.

The first page counts them, the lists of records show them; both ask here, so that a number is that of its list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db.models import (
    Case,
    CharField,
    Count,
    F,
    Model,
    Q,
    QuerySet,
    TextChoices,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast
from django.db.models.lookups import In
from django.utils.translation import gettext_lazy as _

from sync.choices import QueueStatus, RecordSyncStatus, SyncDirection
from sync.models import SyncedModel, SyncMetadata, SyncQueue
from sync.registry import EntitySpec


class Part(TextChoices):
    """Where a record stands, and why."""

    IN_SYNC = "in_sync", _("In sync")
    WAITING = "waiting", _("Waiting")
    CONFLICT = "conflict", _("Conflict")
    SYNC_OFF = "sync_off", _("Sync off")
    NO_SYNC = "no_sync", _("Direction “no sync”")
    TO_MONDAY = "to_monday", _("One way, to Monday")
    TO_NPD = "to_npd", _("One way, to NPD")
    DEAD = "dead", _("Stopped after all tries")
    HELD = "held", _("Held fields")


class Group(TextChoices):
    """What a tile of the first page counts; those of one part have its value."""

    IN_SYNC = "in_sync", _("In sync")
    WAITING = "waiting", _("Waiting")
    CONFLICT = "conflict", _("Conflicts")
    EXCLUDED = "excluded", _("Excluded")
    FAILING = "failing", _("Failing")


PARTS: Mapping[Group, tuple[Part, ...]] = {
    Group.IN_SYNC: (Part.IN_SYNC,),
    Group.WAITING: (Part.WAITING,),
    Group.CONFLICT: (Part.CONFLICT,),
    Group.EXCLUDED: (Part.SYNC_OFF, Part.NO_SYNC, Part.TO_MONDAY, Part.TO_NPD),
    Group.FAILING: (Part.DEAD, Part.HELD),
}
"""One-way records count as excluded where nothing else is to be said of them: their other side may differ."""
_ONE_WAY = (SyncDirection.NPD_TO_MONDAY, SyncDirection.MONDAY_TO_NPD)


def choices() -> list[tuple[str, str]]:
    """Return groups and parts with their words, in the order of the tiles, each part after its group."""
    found = []
    for group, parts in PARTS.items():
        found.append((group.value, str(group.label)))
        if len(parts) > 1:
            found += [(part.value, f"{group.label}: {part.label}") for part in parts]
    return found


def standing_so(records: QuerySet[SyncedModel], wanted: str) -> QuerySet[SyncedModel]:
    """Return the records of this group or part; all of them where no such one is known."""
    conditions = _conditions(records.model)
    if wanted in Group.values:
        found = Q()
        for part in PARTS[Group(wanted)]:
            found |= conditions[part]
        return records.filter(found)
    return records.filter(conditions[Part(wanted)]) if wanted in Part.values else records


def counts(specs: Iterable[EntitySpec]) -> dict[str, dict[Part, int]]:
    """Count the records of every type by part, in one query for all of them."""
    queries = [_counted(spec) for spec in specs]
    if not queries:
        return {}
    rows = queries[0].union(*queries[1:], all=True) if len(queries) > 1 else queries[0]
    found: dict[str, dict[Part, int]] = {}
    for entity_type, part, number in rows:
        found.setdefault(entity_type, {})[Part(part)] = number
    return found


def _counted(spec: EntitySpec) -> QuerySet[SyncedModel, tuple[str, str, int]]:
    conditions = _conditions(spec.model)
    told = [part for part in conditions if part is not Part.WAITING]
    cases = [When(conditions[part], then=Value(part.value)) for part in told]
    part = Case(*cases, default=Value(Part.WAITING.value), output_field=CharField())
    return (
        spec.model._default_manager.order_by()
        .annotate(board=Value(spec.entity_type, CharField()), part=part)
        .values_list("board", "part")
        .annotate(number=Count("pk"))
    )


def _conditions(model: type[Model]) -> dict[Part, Q]:
    """What tells each part, no two of which hold of one record."""
    entity_type = model.entity_type()  # type: ignore[attr-defined]
    synced, pending = Q(sync_status=RecordSyncStatus.SYNCED), Q(sync_status=RecordSyncStatus.PENDING)
    disabled = Q(sync_status=RecordSyncStatus.DISABLED)
    dead = Q(pk__in=_dead_letters(entity_type))
    # The ledger names records as text; asked so, all of them are read once, by their index.
    held = Q(In(Cast(F("pk"), TextField()), _with_held_fields(entity_type)))
    return {
        Part.IN_SYNC: synced & ~Q(sync_direction__in=_ONE_WAY),
        Part.CONFLICT: Q(sync_status=RecordSyncStatus.CONFLICT),
        Part.SYNC_OFF: disabled & Q(sync_enabled=False),
        Part.NO_SYNC: disabled & Q(sync_enabled=True),
        Part.TO_MONDAY: synced & Q(sync_direction=SyncDirection.NPD_TO_MONDAY),
        Part.TO_NPD: synced & Q(sync_direction=SyncDirection.MONDAY_TO_NPD),
        Part.DEAD: pending & dead,
        Part.HELD: pending & ~dead & held,
        Part.WAITING: pending & ~dead & ~held,
    }


def _dead_letters(entity_type: str) -> QuerySet[SyncQueue, object]:
    rows = SyncQueue.objects.filter(
        status=QueueStatus.FAILED, entity_type=entity_type, entity_id__isnull=False
    )
    return rows.values("entity_id")


def _with_held_fields(entity_type: str) -> QuerySet[SyncMetadata, object]:
    rows = SyncMetadata.objects.filter(entity_type=entity_type, system="monday").exclude(held={})
    return rows.values("entity_id")
