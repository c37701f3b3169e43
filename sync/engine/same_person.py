"""A record that was made from an item, and that nobody touched in NPD, may turn out to be another record's twin.

Somebody adds a row on the board without an e-mail address, it becomes a record, and the address that is filled in
later is one that NPD knows already. A person says whether the two are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import RestrictedError
from django.db.models.deletion import ProtectedError
from pghistory.core import event_models

from sync.choices import Cause, Priority
from sync.connectors.monday.items import Item
from sync.engine.matching import with_keys
from sync.engine.questions import same_person
from sync.engine.reading import match_text_of_item
from sync.engine.subjects import Batch
from sync.enqueue import enqueue_many
from sync.models import Decision, SyncedModel, SyncMetadata


class CannotUnite(RuntimeError):
    """The two records can't be made one; the message says why."""


def find_twins(batch: Batch) -> None:
    """Ask about every record made from an item whose item's match key is another record's by now."""
    keys = {
        subject.id: key
        for subject in batch.open
        if subject.ledger.made_from_item and subject.item and (key := _key(batch, subject.item))
    }
    if not keys:
        return
    found = with_keys(batch, keys.values())
    for subject in [subject for subject in batch.open if subject.id in keys]:
        others = [record for record in found.get(keys[subject.id], []) if record.pk != subject.id]
        if others and is_untouched(subject.record):
            label = batch.board.match.label.lower() if batch.board.match else "name"
            subject.twin = same_person(subject.record, others, label)


def _key(batch: Batch, item: Item) -> str:
    return match_text_of_item(batch, item) or ""


def is_untouched(record: SyncedModel) -> bool:
    """Whether nobody changed the record in NPD, and nothing in NPD points at it."""
    return _only_the_sync_wrote(record) and not _is_pointed_at(record)


def _only_the_sync_wrote(record: SyncedModel) -> bool:
    for events in event_models(tracks_model=type(record)):
        others = events._default_manager.filter(pgh_obj_id=record.pk).exclude(
            pgh_context__metadata__cause="sync"
        )
        if others.exists():
            return False
    return True


def _is_pointed_at(record: SyncedModel) -> bool:
    histories = set(event_models())
    relations = [r for r in record._meta.related_objects if r.related_model not in histories]
    return any(
        r.related_model._default_manager.filter(**{r.field.name: record.pk}).exists() for r in relations
    )


def made_and_untouched(batch: Batch, ids: Iterable[str]) -> list[SyncedModel]:
    """Return those of these records that were made from an item, and that nobody touched in NPD."""
    made = SyncMetadata.objects.filter(
        entity_type=batch.board.link.entity_type,
        entity_id__in=list(ids),
        system="monday",
        made_from_item=True,
    )
    keys = list(made.values_list("entity_id", flat=True))
    found = batch.board.model._default_manager.filter(pk__in=keys).order_by("pk") if keys else []
    return [record for record in found if is_untouched(record)]


def unite(batch: Batch, made_id: UUID, other_id: UUID, by: str) -> str:
    """Delete the made record and give its item to the other one, where that has none; raises CannotUnite.

    Where the other has an item, the made one's goes as the items of deleted records do (record_gone.py). Returns what
    was done, as a sentence.
    """
    records = batch.board.model._default_manager
    ids = sorted([made_id, other_id])
    locked = {r.pk: r for r in records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    made, other = locked.get(made_id), locked.get(other_id)
    if made is None or other is None:
        raise CannotUnite("one of the two records was deleted meanwhile.")
    if not is_untouched(made):
        raise CannotUnite(f"“{made}” was changed in NPD meanwhile, so it isn't deleted. Choose anew.")
    name, item_id = str(made), made.monday_id
    try:
        made.delete()
    except (ProtectedError, RestrictedError) as refused:
        raise CannotUnite(f"“{name}” can't be deleted: something else in NPD needs it.") from refused
    words = f"“{name}” was the same as “{other}”: it was deleted in NPD"
    if other.monday_id is None and other.may_sync:
        records.filter(pk=other.pk).update(monday_id=item_id)
        words += f", and its item {item_id} is the item of “{other}” now."
    else:
        words += "; its item goes as the items of deleted records do."
    _tell(batch, [made_id, other_id], item_id or "", words, by)
    return words


def _tell(batch: Batch, ids: Sequence[UUID], item_id: str, words: str, by: str) -> None:
    kind = batch.board.link.entity_type
    Decision.objects.bulk_create(
        Decision(
            entity_type=kind,
            entity_id=entity_id,
            remote_id=item_id,
            kind="link",
            sentence=words,
            batch_id=batch.id,
            actor=by,
            cause={"by": by, "causes": ["person"], "rule": "they are the same"},
        )
        for entity_id in ids
    )
    enqueue_many(kind, ids[1:], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
