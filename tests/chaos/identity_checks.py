"""Checks of identity: one item a record, none left out, and no delete that no person asked for."""

from collections import defaultdict
from collections.abc import Iterator

from sync.choices import TombstoneState
from tests.chaos.evidence import Entity, Evidence


def one_item_a_record(evidence: Evidence) -> Iterator[str]:
    """Active items have NPD IDs of their own, and each item that the sync made belongs to a record."""
    bearers: dict[str, list[str]] = defaultdict(list)
    yield from _shared(evidence)
    linked = {e.record.monday_id: e for e in evidence.entities if e.record and e.record.monday_id}
    in_question = _asked(evidence)
    for item_id, (board, item) in evidence.items.items():
        link = next((link for link in evidence.links.values() if link.board_id == board), None)
        if link is None or item["state"] != "active":
            continue
        npd_id = item["values"].get(link.npd_id_column) or ""
        if npd_id and item_id not in in_question:
            bearers[npd_id].append(item_id)
        owner = linked.get(item_id)
        if owner and owner.record and npd_id != str(owner.record.pk) and owner.record.sync_status == "synced":
            yield f"{owner.words}: its item {item_id} bears the NPD ID {npd_id or '(none)'}"
        if not owner and not _explained(evidence, item_id) and item_id not in evidence.journal.copied:
            yield f"item {item_id} ({item['name']!r}) was made by the sync and belongs to no record"
    asked_to_delete = {str(c.entity_id) for c in evidence.conflicts if c.kind == "delete" and not c.resolved_at}
    # merge/filter: nothing is sent to copies of items whose record is switched off, or was deleted with the item kept.
    left_alone = {e.record_id for e in evidence.entities if e.record and not e.may_sync}
    left_alone |= {str(stone.entity_id) for stone in evidence.stones if stone.state == TombstoneState.KEPT}
    for npd_id, items in bearers.items():
        if len(items) > 1 and npd_id not in asked_to_delete | left_alone:
            yield f"items {', '.join(items)} all bear the NPD ID {npd_id}"


def _shared(evidence: Evidence) -> Iterator[str]:
    """No two records have the same item; the database prevents this only within a type."""
    owners: dict[str, list[str]] = defaultdict(list)
    for entity in evidence.entities:
        if entity.record and entity.record.monday_id:
            owners[entity.record.monday_id].append(entity.words)
    yield from (f"item {item} belongs to {' and '.join(names)}" for item, names in owners.items() if len(names) > 1)


def _asked(evidence: Evidence) -> set[str]:
    """Items whose identity is in question, or was refused."""
    questions = [conflict for conflict in evidence.conflicts if conflict.kind == "identity"]
    candidates = {item["id"] for question in questions for item in question.about.get("candidates", ())}
    return candidates.union((question.monday_item_id for question in questions), evidence.refused)


def _explained(evidence: Evidence, item_id: str) -> bool:
    """Whether a person made the item, decides about it, or deleted its record."""
    of_deleted = {stone.monday_id for stone in evidence.stones}
    return item_id in {*evidence.journal.items.values(), *evidence.refused, *_asked(evidence), *of_deleted}


def nothing_is_made_twice(evidence: Evidence) -> Iterator[str]:
    """The sync never makes a second item for a record and removes one, unless a person removed the first."""
    journal = evidence.journal
    explained = {*journal.items.values(), *journal.copied}
    for entity in evidence.entities:
        if entity.item:
            explained.add(entity.item["id"])
        if entity.handles & {*journal.removed, *journal.deleted}:
            explained |= {item for item, record in evidence.of_item.items() if record == entity.record_id}
    for item_id, (_, item) in evidence.items.items():
        if item_id not in explained:
            yield f"item {item_id} ({item['name']!r}, {item['state']}) was made by the sync, and is nobody’s now"


def nobody_is_left_out(evidence: Evidence) -> Iterator[str]:
    """A record that may be sent has an item, and an item on its board has a record, or something says why not."""
    for entity in evidence.entities:
        record = entity.record
        explanation = entity.open_kinds() or (entity.sync_state and entity.sync_state.note)
        if record is not None and not record.monday_id and _may_be_sent(entity) and not explanation:
            yield f"{entity.words} never got an item, and nothing says why"
        if record is None and entity.stone is None and entity.item and entity.item["state"] == "active":
            yield from _without_record(evidence, entity)


def _may_be_sent(entity: Entity) -> bool:
    record = entity.record
    return bool(record and record.sync_enabled and record.sync_direction in ("bidirectional", "npd_to_monday"))


def _without_record(evidence: Evidence, entity: Entity) -> Iterator[str]:
    assert entity.item
    link = evidence.links[entity.type]
    here = entity.board == link.board_id
    if here and link.creates_records and entity.item["id"] not in _asked(evidence):
        yield f"{entity.words}: item {entity.item['id']} never got a record, and nothing says why"


def only_meant_deletes(evidence: Evidence) -> Iterator[str]:
    """Records and items go only if a person removed them or their counterpart, or chose so in a conflict."""
    journal = evidence.journal
    for entity in evidence.entities:
        person_did = bool(entity.handles & {*journal.deleted, *journal.removed})
        chosen = any(c.kind in ("delete", "identity") and c.resolved_at for c in entity.conflicts)
        if person_did or chosen or not entity.handles:
            continue
        if entity.record is None and entity.stone is not None:
            yield f"{entity.words} was deleted in NPD by nobody"
        if entity.item and entity.item["state"] != "active":
            yield f"{entity.words}: its item {entity.item['id']} is {entity.item['state']} by nobody’s hand"


def deleted_stays_deleted(evidence: Evidence) -> Iterator[str]:
    """A deleted record comes back only if a person says so."""
    for handle in evidence.journal.deleted:
        record_id = evidence.journal.records.get(handle)
        entity = next((e for e in evidence.entities if e.record_id == record_id), None)
        chosen = entity and any(c.resolved_at for c in entity.conflicts)
        if entity and entity.record is not None and not chosen:
            yield f"{handle} was deleted at step {evidence.journal.deleted[handle]} and is there again"
    by_item = {str(e.record.monday_id): e for e in evidence.entities if e.record and e.record.monday_id}
    for stone in evidence.stones:
        entity = by_item.get(stone.monday_id or "")
        if entity and str(stone.entity_id) != entity.record_id and not _chosen_anew(entity, evidence, stone):
            yield f"item {stone.monday_id} of a deleted record became the record {entity.words}"


def _chosen_anew(entity: Entity, evidence: Evidence, stone: object) -> bool:
    """Whether a new record may have adopted the item by the match rule, or a person may have chosen so."""
    return bool(entity.handles & set(evidence.journal.records)) or any(c.resolved_at for c in evidence.conflicts)
