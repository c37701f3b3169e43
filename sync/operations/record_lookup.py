"""Find the record that a command's argument names, deleted ones too."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from uuid import UUID

from django.db import models

from sync import registry
from sync.fields.field_values import tombstone_name
from sync.kernel import as_uuid, humanize
from sync.kernel.acts import ActionError
from sync.models import SyncedModel, Tombstone

# So many matches of a name are listed to choose from.
MAX_MATCHES = 10


def find_record(entity_type: str, text: str) -> SyncedModel | Tombstone:
    """Find a record, or the tombstone of a deleted one, by id, item id, name or email.

    Raises ActionError unless exactly one matches; UnknownEntity for an unknown type.
    """
    spec = registry.entity(entity_type)
    text = text.strip()
    entity_id = as_uuid(text)
    if entity_id is not None:
        named = models.Q(pk=entity_id)
        deleted = models.Q(entity_id=entity_id)
    else:
        match_keys = {mapping.fields[0] for mapping in spec.mappings if mapping.key == spec.match_key}
        keys = sorted(match_keys | {spec.name_field or "pk"})
        named = reduce(or_, (models.Q(**{f"{key}__iexact": text}) for key in keys), models.Q(monday_id=text))
        deleted = reduce(or_, (models.Q(**{f"data__{key}__iexact": text}) for key in keys), models.Q(monday_id=text))
    matches: Sequence[SyncedModel | Tombstone] = []
    if text:
        tombstones = Tombstone.objects.filter(deleted, entity_type=entity_type)
        matches = list(spec.model.objects.filter(named)[: MAX_MATCHES + 1])
        matches = matches or list(tombstones[: MAX_MATCHES + 1])
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = "\n".join(
            f"  {ids_of(match)[1]}  {humanize.terminal_line(name_of(match))}" for match in matches[:MAX_MATCHES]
        )
        more = "\n  and more" if len(matches) > MAX_MATCHES else ""
        raise ActionError(f"Several {entity_type} records are called “{text}”. Name one by its id:\n{listed}{more}")
    raise ActionError(
        f"There is no {entity_type} “{text}”, and none was deleted recently. Give its id, the id of its item on "
        "Monday, its name, or its email address."
    )


def ids_of(subject: SyncedModel | Tombstone) -> tuple[str, UUID]:
    """Return the type and the id of a record or of a tombstone."""
    if isinstance(subject, Tombstone):
        return subject.entity_type, subject.entity_id
    return subject.entity_type(), subject.pk


def name_of(subject: SyncedModel | Tombstone) -> str:
    """Return the name of a record or of a deleted one, or else its id."""
    if isinstance(subject, Tombstone):
        return tombstone_name(subject) or str(subject.entity_id)
    return str(subject)
