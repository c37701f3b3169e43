"""Which record a person means at the terminal: by its id, its item's id, its name or its email address."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q

from sync import registry
from sync.kernel.messages import ActionError
from sync.models import SyncedModel, Tombstone

MAX_MATCHES = 10


def find_record(entity_type: str, text: str) -> SyncedModel | Tombstone:
    """Return the record that an id, its item's id, a name or an email address means; a deleted one's tombstone.

    Raises ActionError where none is meant or several could be, UnknownEntity.
    """
    registry.entity(entity_type)
    text = text.strip()
    matches = _matches(entity_type, text)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = "\n".join(f"  {ids_of(match)[1]}  {name_of(match)}" for match in matches[:MAX_MATCHES])
        more = "\n  and more" if len(matches) > MAX_MATCHES else ""
        raise ActionError(f"Several {entity_type} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise ActionError(
        f"There is no {entity_type} “{text}”, and none that was deleted lately. Give its id, the id of its item on "
        "Monday, its name, or its email address."
    )


def _matches(entity_type: str, text: str) -> Sequence[SyncedModel | Tombstone]:
    spec = registry.entity(entity_type)
    records = spec.model._default_manager.all()
    tombstones = Tombstone.objects.filter(entity_type=entity_type)
    try:
        entity_id = UUID(text)
    except ValueError:
        pass
    else:
        return list(records.filter(pk=entity_id)) or list(tombstones.filter(entity_id=entity_id))
    if not text:
        return []
    match_keys = {mapping.fields[0] for mapping in spec.mappings if mapping.key == spec.match_key}
    keys = sorted(match_keys | {spec.name_field or "pk"})
    named = reduce(or_, (Q(**{f"{key}__iexact": text}) for key in keys)) | Q(monday_id=text)
    deleted = Q(monday_id=text) | Q(data__name__iexact=text) | Q(data__email__iexact=text)
    return list(records.filter(named)[: MAX_MATCHES + 1]) or list(tombstones.filter(deleted)[: MAX_MATCHES + 1])


def ids_of(subject: SyncedModel | Tombstone) -> tuple[str, UUID]:
    """Return the type and the id of a record, also of a deleted one."""
    if isinstance(subject, Tombstone):
        return subject.entity_type, subject.entity_id
    return subject.entity_type(), subject.pk


def name_of(subject: SyncedModel | Tombstone) -> str:
    """Return what a record is called, or was."""
    return str(subject.data.get("name") or subject.entity_id) if isinstance(subject, Tombstone) else str(subject)
