"""Which item is which record: linked, found by NPD ID or by the match rule, asked about, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import Q, RestrictedError
from django.db.models.deletion import ProtectedError
from pghistory.core import event_models

from sync import registry
from sync.choices import Cause, Priority, QueueDirection
from sync.connectors.base.board import EventKind
from sync.connectors.base.board_items import BatchItems, Item
from sync.kernel.conflict_store import (
    KIND_IDENTITY,
    MERGE_RECORDS,
    RECORD_KEY,
    ConflictReport,
    OpenConflict,
    Option,
    current_store,
)
from sync.merge import FieldSelection
from sync.models import Decision, IgnoredItem, Intent, IntentState, SyncedModel, SyncMetadata, WebhookEvent
from sync.models.state import event_column_text, event_item_name
from sync.outbox.pauses import locked_pauses
from sync.outbox.queue_rows import enqueue_item, enqueue_many
from sync.reconcile.batch import Batch, Outcome, RecordSync, RemovedItem
from sync.reconcile.board_filter import is_removed_item_excluded, matching_items
from sync.reconcile.conflict_reports import cause_of_claim, identity_report
from sync.reconcile.field_values import ACTIVE, item_values
from sync.reconcile.removed_items import clear_removed_state, plan_removed_items, removed_state
from sync.reconcile.restraints import end_if_paused
from sync.reconcile.sides import (
    as_uuid,
    match_text_of_item,
    match_text_of_record,
    npd_id_of,
    read_by_id,
    records_by_match_key,
)
from sync.records.external_ids import inherit_external_ids
from sync.records.item_links import exclude_match, ignore_item, unlinked_items
from sync.records.unmatched_items import AS_NEW, UnmatchedFinding, reopen_items


@dataclass(frozen=True)
class MatchExclusions:
    """What is remembered of the items and records of one pass."""

    by_item: dict[str, IgnoredItem] = field(default_factory=dict)
    unlinked: dict[UUID, IgnoredItem] = field(default_factory=dict)

    @classmethod
    def load(cls, batch: Batch, items: Iterable[str], records: Iterable[UUID]) -> MatchExclusions:
        """Read what is remembered of these items, and of what was unlinked from these records; a few queries."""
        rows = IgnoredItem.objects.filter(entity_type=batch.entity_type)
        by_item = {row.item_id: row for row in rows.filter(item_id__in=set(items))}
        return cls(by_item, unlinked_items(batch.entity_type, list(records)))

    def may_match(self, item_id: str, record_id: UUID) -> bool:
        """Whether nothing is known that keeps this item from being this record's."""
        row = self.by_item.get(item_id)
        return row is None or not (row.unlinked or row.entity_id == record_id)


def exclude_matches(record_sync: RecordSync) -> None:
    """A person said that none of the items found is the record's: remember it once its own item is made."""
    if not record_sync.as_new:
        return
    own = record_sync.link_to or record_sync.record.monday_id
    # Where a pass after the answer found the item that a lost call had made, only the question names the others.
    answered = [c for c in record_sync.conflicts if c.kind == KIND_IDENTITY and RECORD_KEY in c.resolutions]
    for item_id in record_sync.excluded_items or [c.monday_item_id for c in answered]:
        if own and item_id and item_id != own:
            why = f"A person said that it is not the item of “{record_sync.record}”."
            exclude_match(record_sync.record.entity_type(), item_id, record_sync.id, why)


# Items that a create without an answer may have made, and that no listing shows any more.
#
# Monday lists active items only. One that a person archived or deleted before it was linked is not
# found by its NPD ID; but webhooks have named it, and asked for by its id it still shows the NPD ID
# that our create gave it.


MAX_ITEMS = 500
"""So many items at most are asked for; a name that more of them bear in so short a time says nothing."""


def find_unconfirmed_creates(batch: Batch) -> None:
    """Link records that are about to get a second item with the first, whatever its state; raises ConnectorError."""
    creating = {record_sync.id: record_sync for record_sync in batch.open_records if record_sync.creates}
    void = Intent.objects.filter(entity_id__in=list(creating), item_id="", state=IntentState.VOID, lookups__gt=0)
    lost = list(void.order_by("created_at"))
    ids = _items_in_events(batch, lost) if lost else []
    if not ids:
        return
    records = {intent.entity_id for intent in lost}
    # Items from which these records were parted already: they are not to come back by themselves.
    rows = Decision.objects.filter(entity_id__in=records, kind="unlinked").exclude(remote_id="")
    unlinked = set(rows.values_list("entity_id", "remote_id"))
    for item in read_by_id(batch, ids).values():
        npd_id = as_uuid(npd_id_of(batch.board, item) or "")
        if npd_id not in records or (npd_id, item.id) in unlinked or not creating[npd_id].creates:
            continue
        record_sync = creating[npd_id]
        record_sync.creates, record_sync.item, record_sync.link_to = False, item, item.id
        record_sync.ledger.remote_state = item.state
        record_sync.log_decision(
            "link", f"Linked with the item “{item.name}”, which was created by a call whose answer was lost."
        )
        if item.state != ACTIVE or item.board_id not in (None, batch.link.board_id):
            # The record's next pass decides what becomes of the two.
            record_sync.ledger.remote_state = ""
            record_sync.enqueue()
            record_sync.leave_open(f"Its item “{item.name}” was {item.state} before it was linked.")


def _items_in_events(batch: Batch, lost: Sequence[Intent]) -> list[str]:
    """Items that webhooks named since then as made with one of the NPD IDs, or as taken away under one of the names."""
    ids = {str(intent.entity_id) for intent in lost}
    sent = [entry for intent in lost for entry in intent.values.values() if entry["column"] == "name"]
    names = {str(value) for entry in sent for value in entry["local"].values()}
    events = WebhookEvent.objects.filter(board_id=batch.link.board_id, received_at__gte=lost[0].created_at)
    told = events.of_kind(EventKind.CREATED, EventKind.ARCHIVED, EventKind.DELETED).annotate(
        npd_id=event_column_text(batch.link.npd_id_column), called=event_item_name()
    )
    named = told.filter(Q(npd_id__in=ids) | Q(called__in=names))
    item_ids = named.order_by("-id").values_list("item_id", flat=True)[:MAX_ITEMS]
    found = [str(item_id) for item_id in dict.fromkeys(item_ids) if item_id]
    owned = set(batch.records.filter(monday_id__in=found).values_list("monday_id", flat=True))
    return [item_id for item_id in found if item_id not in owned]


# Questions of identity: whose item is this, which item is this record's, are these two the same
# person?
#
# Each is a report of the kind identity with the options that a person may choose; the last
# section carries them out.


NEW_ITEM = "new"
"""Answer: none of the items is the record's; it gets one of its own."""

NEW_RECORD = "record"
"""Answer: the item is none of the records'; it becomes one of its own."""

LEAVE_ALONE = "leave alone"
"""Answer: the item stays on the board and has nothing to do with NPD."""

SAME_AS = "same:"
"""Answer, followed by a record's id: that record and the one made from the item are the same."""

TAKES_ITEM = "takes:"
"""Answer, followed by a record's id: that one, made from the item, is the same and hands its item over."""

DIFFERENT_RECORDS = "different"
"""Answer: they are two, and nobody is to ask again."""


def owner_question(hits: Sequence[SyncedModel], item: Item, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the question which of these records the item is.

    `details` is what the screen shows of the item (field_values.py).
    """
    what = f"The item “{item.name}” could be {quoted_names(hits)}"
    known = [record for record in hits if record.monday_id]
    if known:
        what += f", which {'has' if len(known) == 1 else 'have'} an item already"
    what += ". Nothing was created."
    linking = f"is linked with the item “{item.name}”; what differs is synced field by field."
    new = f"A new record is made of “{item.name}” and linked with it."
    alone = "The item stays on the board; it is not matched, and no record is created from it."
    waiting = [record for record in hits if _waits_for_item(record)]
    options = [
        *(Option("custom", f"It is “{record}”", f"“{record}” {linking}", str(record.pk)) for record in waiting),
        Option("custom", "It is somebody else: create a new record", new, NEW_RECORD),
        Option("custom", "Leave the item alone", alone, LEAVE_ALONE),
    ]
    return {
        "what": what,
        "item": dict(details),
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in hits],
        "options": [option.to_json() for option in options],
    }


def _waits_for_item(record: SyncedModel) -> bool:
    return record.monday_id is None and record.may_sync


def store_owner_question(
    entity_type: str, hits: Sequence[SyncedModel], item_id: str, question: Mapping[str, Any]
) -> None:
    """Ask which of these records the item is, in the caller's transaction, which has locked them."""
    report = ConflictReport(entity_type, hits[0].pk, item_id, KIND_IDENTITY, data=dict(question))
    current_store().save_reports([report])
    for record in filter(_waits_for_item, hits):
        # The record waits for the answer; its other conflicts stay.
        key = {"entity_type": entity_type, "entity_id": str(record.pk), "system": "monday"}
        ledger, _ = SyncMetadata.objects.get_or_create(**key, defaults={"base": {}})
        ledger.refresh_from_db(fields=["conflicts"])
        ledger.conflicts, ledger.asked_items = {**ledger.conflicts, "identity": [question["what"]]}, [item_id]
        ledger.save(update_fields=["conflicts", "asked_items"])
        type(record)._default_manager.filter(pk=record.pk).update(sync_status="conflict")


def close_identity_conflicts(entity_type: str, item_id: str, reason: str) -> None:
    """End the questions about an item of which there is nothing to ask, and enqueue the records that waited."""
    if closed := current_store().close_identity_conflicts(entity_type, item_id, reason):
        ids = set(closed) | _records_asking(entity_type, [item_id])
        enqueue_many(entity_type, ids, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    """Return the records that wait for an answer about one of these items."""
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}


def record_question(
    kind: str,
    record: SyncedModel,
    hits: Sequence[Item],
    owner_by_item: Mapping[str, str],
    duplicates: Sequence[SyncedModel] = (),
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the question which of these items is the record's.

    `values` has what each item says, by field. `owner_by_item` maps an item to the record that has it; `duplicates` are
    those of these records that were made from their item and that nobody touched in NPD.
    """
    what = f"{len(hits)} items on the board could be this {kind}"
    if len(hits) == 1:
        what = "The item with the same key belongs to another record already"
    linking = f"“{record}” is linked with this item; what differs is synced field by field."
    handed = f"is deleted in NPD, and its item is linked with “{record}”."
    options = [
        Option("custom", f"It is “{item.name}” ({item.id})", linking, item.id)
        for item in hits
        if owner_by_item.get(item.id, str(record.pk)) == str(record.pk)
    ]
    options += [
        Option(
            "custom",
            f"The same as “{r}”, made from the item: delete that",
            f"The record “{r}” {handed}",
            answer,
            MERGE_RECORDS,
        )
        for r, answer in ((duplicate, f"{TAKES_ITEM}{duplicate.pk}") for duplicate in duplicates)
    ]
    return {
        "what": f"{what}. Nothing was created.",
        "candidates": [
            {
                "id": i.id,
                "label": i.name,
                "linked_to": owner_by_item.get(i.id),
                "values": dict((values or {}).get(i.id, {})),
            }
            for i in hits
        ],
        "options": [option.to_json() for option in [*options, _new_item_option(record)]],
    }


def relink_question(record: SyncedModel, row: IgnoredItem) -> dict[str, Any]:
    """Return the question whether a record that syncs again takes back the item that was unlinked from it."""
    effect = f"“{record}” and the item {row.item_id} sync as before; what changed since is synced or asked about."
    again = Option("custom", "Link it with that item again", effect, row.item_id)
    why = f"“{record}” was unlinked from an item. {row.reason}"
    if row.entity_id not in (None, record.pk):
        why = f"The set-up left “{record}” out, for its name is like an item's that another record's is like, too."
    return {
        "what": f"{why} Nothing was created.",
        "candidates": [{"id": row.item_id, "label": f"Item {row.item_id}", "linked_to": None}],
        "options": [again.to_json(), _new_item_option(record).to_json()],
    }


def duplicate_question(made: SyncedModel, others: Sequence[SyncedModel], key: str) -> dict[str, Any]:
    """Return the question whether a record that was made from an item is one of these others."""
    deletion = f"The record “{made}” is deleted in NPD"
    options = [Option("custom", "They are two", "Both records stay, and you are not asked again.", DIFFERENT_RECORDS)]
    for other in reversed(others):
        effect = f"{deletion}, and its item is linked with “{other}”."
        if other.monday_id:
            effect = f"{deletion}; its item goes as the items of deleted records do, for “{other}” has one."
        label = f"The same as “{other}”: delete “{made}”"
        options.insert(0, Option("custom", label, effect, f"{SAME_AS}{other.pk}", MERGE_RECORDS))
    return {
        "what": f"“{made}”, which was made from an item on the board, has the same {key} as {quoted_names(others)}.",
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in others],
        "options": [option.to_json() for option in options],
    }


def _new_item_option(record: SyncedModel) -> Option:
    effect = f"A new item is made for “{record}”; those that were found stay as they are."
    return Option("custom", "None of them: create a new item", effect, NEW_ITEM)


def quoted_names(records: Sequence[SyncedModel]) -> str:
    """Return the first records' names, to be said in a sentence."""
    return " or ".join(f"“{record}”" for record in records[:3])


# A record that was made from an item, and that nobody touched in NPD, may turn out to be another
# record's possible duplicate.
#
# Somebody adds a row on the board without an email address, it becomes a record, and the address
# that is filled in later is one that NPD knows already. A person says whether the two are one.


class CannotMergeRecords(RuntimeError):
    """The two records can't be made one; the message says why."""


def find_possible_duplicates(batch: Batch) -> None:
    """Ask about every record made from an item whose item's match key is another record's by now."""
    made = [s for s in batch.open_records if s.ledger.made_from_item and s.item]
    keys = {s.id: key for s in made if s.item and (key := match_text_of_item(batch.board, s.item))}
    found = records_by_match_key(batch, keys.values())
    for record_sync in [s for s in made if s.id in keys]:
        others = [record for record in found.get(keys[record_sync.id], []) if record.pk != record_sync.id]
        if others and is_unedited(record_sync.record):
            label = batch.board.match_mapping.label.lower() if batch.board.match_mapping else "name"
            record_sync.possible_duplicate = duplicate_question(record_sync.record, others, label)


def is_unedited(record: SyncedModel) -> bool:
    """Whether nobody changed the record in NPD, and nothing in NPD points at it."""
    for events in event_models(tracks_model=type(record)):
        edits = events._default_manager.filter(pgh_obj_id=record.pk).exclude(pgh_context__metadata__cause="sync")
        if edits.exists():
            return False
    histories = set(event_models())
    relations = [r for r in record._meta.related_objects if r.related_model not in histories]
    pointing = (r.related_model._default_manager.filter(**{r.field.name: record.pk}) for r in relations)
    return not any(records.exists() for records in pointing)


def unedited_records_from_items(batch: Batch, ids: Iterable[str]) -> list[SyncedModel]:
    """Return those of these records that were made from an item, and that nobody touched in NPD."""
    made = SyncMetadata.objects.of(batch.entity_type, ids).filter(made_from_item=True)
    keys = list(made.values_list("entity_id", flat=True))
    return [record for record in batch.records.filter(pk__in=keys).order_by("pk") if is_unedited(record)]


def merge_records(batch: Batch, made_id: UUID, other_id: UUID, by: str) -> str:
    """Delete the made record and give its item to the other one, where that has none; raises CannotMergeRecords.

    Where the other has an item, the made one's goes as the items of deleted records do (deleted_records.py). Returns
    what was done, as a sentence.
    """
    # With the key's lock, for one of them is deleted; in the order of ids, as every writer of several records.
    locked = batch.records.select_for_update(of=("self",)).filter(pk__in=[made_id, other_id]).order_by("pk")
    found = {record.pk: record for record in locked}
    made, other = found.get(made_id), found.get(other_id)
    if made is None or other is None:
        raise CannotMergeRecords("one of the two records was deleted meanwhile.")
    if not is_unedited(made):
        raise CannotMergeRecords(f"“{made}” was changed in NPD meanwhile, so it isn't deleted. Choose again.")
    name, item_id = str(made), made.monday_id
    try:
        made.delete()
    except (ProtectedError, RestrictedError) as error:
        raise CannotMergeRecords(f"“{name}” can't be deleted: something else in NPD needs it.") from error
    # Else a system that knows the deleted one would make it anew.
    inherit_external_ids(batch.entity_type, made_id, other_id)
    detail = f"“{name}” was the same as “{other}”: it was deleted in NPD"
    if other.monday_id is None and other.may_sync:
        batch.records.filter(pk=other.pk).update(monday_id=item_id)
        detail += f", and its item {item_id} is the item of “{other}” now."
    else:
        detail += "; its item goes as the items of deleted records do."
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (made_id, other_id):
        batch.log_decision(entity_id, item_id or "", "link", detail, actor=by, cause=cause)
    enqueue_many(batch.entity_type, [other_id], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    return detail


# Which item belongs to which record: linked, found by NPD ID, found by the match rule, or none.


def identify(batch: Batch, found: BatchItems) -> None:
    """Give every open record its item, mark it as one to be created, or end it with the reason."""
    # Which of these items a record is linked to already, of any type, for items move: item id → record id.
    ids = {item.id for item in [*found.by_npd_id, *found.by_match]}
    owners: dict[str, str] = {}
    for spec in registry.entities():
        rows = spec.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", "pk")
        owners |= {str(item): str(pk) for item, pk in rows}
    # Items that bear the NPD ID of a record that is there: they are that record's, whatever their key says.
    names = {item.id: npd_id for item in found.by_match if (npd_id := as_uuid(npd_id_of(batch.board, item) or ""))}
    records = batch.records.filter(pk__in=names.values())
    existing = set(records.values_list("pk", flat=True))
    owner_by_item = owners | {item_id: str(npd_id) for item_id, npd_id in names.items() if npd_id in existing}
    unlinked_ids = [record_sync.id for record_sync in batch.open_records if not record_sync.record.monday_id]
    exclusions = (
        MatchExclusions.load(batch, [item.id for item in found.by_match], unlinked_ids)
        if unlinked_ids
        else MatchExclusions()
    )
    for record_sync in batch.open_records:
        if record_sync.record.monday_id:
            _identify_linked(batch, record_sync, found.linked.get(record_sync.record.monday_id))
        else:
            _identify_unlinked(batch, record_sync, found, owner_by_item, exclusions)
    plan_removed_items(batch)
    find_unconfirmed_creates(batch)


def _identify_linked(batch: Batch, record_sync: RecordSync, item: Item | None) -> None:
    state = removed_state(batch, record_sync, item)
    record_sync.item = item
    if state and is_removed_item_excluded(batch, record_sync, item):
        return
    if state:
        record_sync.removed_item = RemovedItem(state)
    else:
        clear_removed_state(record_sync)


def _identify_unlinked(
    batch: Batch, record_sync: RecordSync, found: BatchItems, owner_by_item: dict[str, str], exclusions: MatchExclusions
) -> None:
    hits = [item for item in found.by_npd_id if npd_id_of(batch.board, item) == str(record_sync.id)]
    if not hits and (key := match_text_of_record(batch.board, record_sync.record)):
        free = [i for i in found.by_match if i.state == ACTIVE and exclusions.may_match(i.id, record_sync.id)]
        hits = [item for item in free if match_text_of_item(batch.board, item) == key]
        unreadable = [i for i in free if i.id not in owner_by_item and match_text_of_item(batch.board, i) is None]
        if unreadable and not hits:
            label = batch.board.match_mapping.label if batch.board.match_mapping else "key"
            return record_sync.leave_open(
                f"{label} of the item “{unreadable[0].name}” on the board can't be read, so it isn't known whether it "
                "is this record's. Nothing was created. Check the column's type and that the token's user may see it, "
                "then run `manage.py monday_setup`."
            )
    if record_sync.as_new and all(npd_id_of(batch.board, item) != str(record_sync.id) for item in hits):
        record_sync.excluded_items, hits = [item.id for item in hits if item.id not in owner_by_item], []
    hits = matching_items(batch, record_sync, hits)
    if not record_sync.is_open:
        return None
    unread = [item for item in [*found.by_npd_id, *hits] if npd_id_of(batch.board, item) is None]
    if unread:
        record_sync.leave_open(
            f"The NPD ID of the item “{unread[0].name}” on the board can't be read, so it isn't known whether it is "
            "this record's. Nothing was created. Check that it is a text column that the token's user may see."
        )
    elif not hits and not record_sync.as_new and record_sync.id in exclusions.unlinked:
        _set_identity_conflict(record_sync, relink_question(record_sync.record, exclusions.unlinked[record_sync.id]))
    elif not hits:
        record_sync.creates = True
    elif len(hits) == 1 and owner_by_item.get(hits[0].id, str(record_sync.id)) == str(record_sync.id):
        owner_by_item[hits[0].id] = str(record_sync.id)
        record_sync.item, record_sync.link_to = hits[0], hits[0].id
        record_sync.ledger.remote_state = hits[0].state
        record_sync.log_decision("link", f"Linked with the item “{hits[0].name}” on the board.")
    else:
        duplicates = unedited_records_from_items(
            batch, [owner_by_item[item.id] for item in hits if item.id in owner_by_item]
        )
        values = {item.id: item_values(batch.board, item) for item in hits}
        question = record_question(batch.entity_type, record_sync.record, hits, owner_by_item, duplicates, values)
        _set_identity_conflict(record_sync, question)
    return None


def _set_identity_conflict(record_sync: RecordSync, question: dict[str, Any]) -> None:
    record_sync.item, record_sync.identity_conflict = None, question
    record_sync.leave_open(
        f"Who is this? {question['what']} Answer it among the conflicts; or make the email or name unique, "
        "or fill in the item's NPD ID."
    )


# What a person answered to a question of identity, carried out before the pass reads anything.
#
# Everything here is NPD's side alone: who is linked with which item. The records' passes do the
# rest. An answer that no longer applies is handed back with the reason.


class AnswerOutdated(RuntimeError):
    """The answer can't be carried out any more; the message says why."""


def apply_identity_choices(batch: Batch) -> None:
    """Carry out every stored answer to a question of identity; raises LeaseLost."""
    for record_sync in batch.record_syncs:
        for conflict in [c for c in record_sync.conflicts if c.kind == KIND_IDENTITY]:
            resolution = conflict.resolutions.get(RECORD_KEY)
            if resolution is not None and resolution.value:
                batch.in_transaction(partial(_apply_choice, batch, record_sync, conflict, resolution))


def _apply_choice(batch: Batch, record_sync: RecordSync, conflict: OpenConflict, resolution: FieldSelection) -> None:
    kind = batch.entity_type
    try:
        done = _apply_answer(batch, record_sync, conflict, resolution)
    except (AnswerOutdated, CannotMergeRecords) as reason:
        detail = f"It could not be done: {reason}"
        current_store().reject_resolutions(kind, [record_sync.id], detail, only=conflict.conflict_id)
        enqueue_item(kind, conflict.monday_item_id, cause=Cause.DEPENDENCY, priority=Priority.PERSON, due_in_seconds=0)
        record_sync.conflicts = [replace(c, resolutions={}) if c is conflict else c for c in record_sync.conflicts]
        return
    if not done:
        return
    current_store().save_reports([identity_report(record_sync, conflict, done)])
    # Records that waited for the same answer say so until their next pass.
    asked_items = {conflict.monday_item_id, *record_sync.ledger.asked_items} - {""}
    others = _records_asking(kind, sorted(asked_items)) - {other.id for other in batch.open_records}
    enqueue_many(kind, others, cause=Cause.DEPENDENCY, priority=Priority.EDIT)
    record_sync.conflicts = [c for c in record_sync.conflicts if c is not conflict]


def _apply_answer(batch: Batch, record_sync: RecordSync, conflict: OpenConflict, resolution: FieldSelection) -> str:
    """Do what was chosen and return it as a sentence; an empty text where another module or the write does it."""
    value, item_id, by = str(resolution.value), conflict.monday_item_id, record_sync.by
    done = ""
    if (record_id := as_uuid(value)) is not None:
        done = _link_item(batch, record_sync, record_id, item_id)
    elif value.isdigit():
        if record_sync.record.monday_id is not None:
            raise AnswerOutdated(f"“{record_sync.record}” now has an item.")
        done = _link_item(batch, record_sync, record_sync.id, value)
    elif value.startswith((SAME_AS, TAKES_ITEM)):
        batch.pauses = locked_pauses(batch.entity_type)
        if not end_if_paused(batch, record_sync, QueueDirection.TO_NPD):
            other_id = as_uuid(value.partition(":")[2])
            if other_id is None:
                raise AnswerOutdated("the answer names no record.")
            made, other = (record_sync.id, other_id) if value.startswith(SAME_AS) else (other_id, record_sync.id)
            done = merge_records(batch, made, other, by)
            record_sync.end(Outcome.SETTLED, done)
    elif value == DIFFERENT_RECORDS:
        record_sync.ledger.made_from_item = False
        SyncMetadata.objects.of(batch.entity_type, [record_sync.id]).update(made_from_item=False)
        done = "They are two; both stay."
    elif value == NEW_RECORD:
        _check_unlinked(batch, item_id)
        # It stays remembered: none of the records with its key is to find it by that key again.
        why = "A person said that it is none of the records with the same key."
        ignore_item(batch.entity_type, item_id, None, why)
        reopen_items(batch.link, [UnmatchedFinding(item_id)])
        urgent: dict[str, Any] = {"cause": Cause.PERSON, "priority": Priority.PERSON, "due_in_seconds": 0}
        enqueue_item(batch.entity_type, item_id, **urgent, payload={AS_NEW: True, "by": by})
        done = "The item becomes a record of its own."
    elif value == LEAVE_ALONE:
        ignore_item(batch.entity_type, item_id, None, "A person said that it has nothing to do with NPD.")
        done = "The item is left alone."
    record_sync.as_new = record_sync.as_new or value == NEW_ITEM
    return done


def _link_item(batch: Batch, record_sync: RecordSync, record_id: UUID, item_id: str) -> str:
    """The item is this record's, which may be another than the one that the question stands at."""
    record = give_item(batch, record_id, item_id)
    detail = f"Linked “{record}” with the item {item_id}, as a person chose."
    if record.pk == record_sync.id:
        record_sync.record.monday_id = item_id
        record_sync.log_decision("link", detail)
        return detail
    cause = cause_of_claim(record_sync.claim)
    batch.log_decision(record.pk, item_id, "link", detail, actor=record_sync.by, cause=cause)
    enqueue_many(batch.entity_type, [record.pk], cause=Cause.DEPENDENCY, priority=Priority.PERSON)
    return detail


RECORD_DELETED = "That record was deleted meanwhile."


def link_problem(record: SyncedModel, owner: SyncedModel | None = None) -> str:
    """Return why a record can't get the item that a person chose for it, and which `owner` has; empty where it can."""
    if record.monday_id is not None:
        return f"“{record}” now has another item."
    if not record.may_sync:
        return f"Sync is off for “{record}”. Turn it on, then choose again."
    return f"The item now belongs to “{owner}”." if owner is not None else ""


def give_item(batch: Batch, record_id: UUID, item_id: str) -> SyncedModel:
    """Give a record the item that a person chose for it, in the caller's transaction; raises AnswerOutdated."""
    record = batch.records.select_for_update(no_key=True, of=("self",)).filter(pk=record_id).first()
    if record is None:
        raise AnswerOutdated(RECORD_DELETED)
    if problem := link_problem(record):
        raise AnswerOutdated(problem)
    _check_unlinked(batch, item_id)
    batch.records.filter(pk=record.pk).update(monday_id=item_id)
    # What was remembered against the item is overruled.
    IgnoredItem.objects.filter(entity_type=batch.entity_type, item_id=item_id).delete()
    return record


def _check_unlinked(batch: Batch, item_id: str) -> None:
    owner = batch.records.filter(monday_id=item_id).first()
    if owner is not None:
        raise AnswerOutdated(f"The item now belongs to “{owner}”.")
