"""Which record is meant: by its id, its item's id, or a name or e-mail address that only one bears."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q

from sync import registry
from sync.models import SyncedModel, Tombstone
from sync.registry import EntitySpec

LISTED = 10


class NotOne(LookupError):
    """No record is meant, or several could be; the message says so and what to do."""


@dataclass(frozen=True)
class Found:
    """A record, or what is remembered of a deleted one."""

    spec: EntitySpec
    entity_id: UUID
    record: SyncedModel | None = None
    stone: Tombstone | None = None

    @property
    def name(self) -> str:
        """What it is, or was, called."""
        return (
            str(self.record)
            if self.record
            else str((self.stone and self.stone.data.get("name")) or self.entity_id)
        )


def find(entity_type: str, text: str) -> Found:
    """Return the record of this type that a text names; raises NotOne, UnknownEntity."""
    spec = registry.entity(entity_type)
    wanted = text.strip()
    records, stones = spec.model._default_manager.all(), Tombstone.objects.filter(entity_type=entity_type)
    by_id = _as_uuid(wanted)
    if by_id is not None:
        found, graves = list(records.filter(pk=by_id)), list(stones.filter(entity_id=by_id))
    elif wanted.isdigit():
        found, graves = list(records.filter(monday_id=wanted)), list(stones.filter(monday_id=wanted))
    else:
        found, graves = list(records.filter(_named(spec, wanted))[: LISTED + 1]), []
    if not found and not graves and wanted and by_id is None:
        graves = list(
            stones.filter(Q(data__name__iexact=wanted) | Q(data__email__iexact=wanted))[: LISTED + 1]
        )
    return _only(spec, wanted, found, graves)


def _named(spec: EntitySpec, text: str) -> Q:
    """Records whose name, or the key by which they are matched, is this text, whatever its case."""
    keys = {m.fields[0] for m in spec.mappings if m.key == spec.match_key} | {spec.name_field or "pk"}
    return reduce(or_, (Q(**{f"{key}__iexact": text}) for key in sorted(keys)))


def _only(spec: EntitySpec, text: str, found: list[SyncedModel], graves: list[Tombstone]) -> Found:
    kind = spec.entity_type
    if len(found) == 1:
        return Found(spec, found[0].pk, found[0])
    if not found and len(graves) == 1:
        return Found(spec, graves[0].entity_id, stone=graves[0])
    several = [(str(r), r.pk) for r in found] or [(str(g.data.get("name")), g.entity_id) for g in graves]
    if several:
        listed = "\n".join(f"  {pk}  {name}" for name, pk in several[:LISTED])
        more = "\n  and more" if len(several) > LISTED else ""
        raise NotOne(f"Several {kind} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise NotOne(
        f"There is no {kind} “{text}”, and none that was deleted lately. Give its id, the id of its item on Monday, "
        "its name, or its e-mail address."
    )


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
