"""The related records that a pass names, and the items that may have left their boards."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias
from uuid import UUID

from sync.models import SyncedModel, SyncMetadata, WebhookEvent
from sync.monday.board import EventKind
from sync.reconcile import field_values, lookups, pass_plan, sides
from sync.reconcile.facts import Pair, RecordFacts
from sync.reconcile.resolutions import chosen_references
from sync.registry import link_of, target_of

EmptiedCells: TypeAlias = Sequence[tuple[type[SyncedModel], str, str]]
"""Where a base names an item while the cell is empty: the model of its record, that item, and the one with the cell."""


def emptied_cells(board: field_values.BoardContext, pairs: Sequence[Pair]) -> EmptiedCells:
    return [
        (model, named_item, item.id)
        for record, item in pairs
        for model, named_item in sides.items_of_emptied_cells(board, record, item)
    ]


def with_related(
    facts: pass_plan.PassFacts,
    plan: pass_plan.Plan,
    pairs: Sequence[Pair],
    gone: Sequence[RecordFacts],
    removed: Collection[str],
) -> pass_plan.PassFacts:
    """Add the related records that may be asked for, and the names by which the board's items are shown.

    Of `gone` records and `pairs` both sides may name some; `removed` are items that have left their boards.
    """
    board = facts.board
    records = [record.facts for record in plan.open_records]
    unmatched = [facts.items.linked.get(claim.remote_id or "") for claim in facts.item_claims]
    naming = [(record.record, item) for record, item in pairs]
    naming += [(board.model(), item) for item in unmatched if item is not None]
    naming += [(record.record, record.item) for record in gone if record.item is not None]
    named = [reference for record, item in naming for reference in field_values.named_by(board, record, item)]
    references = {field_values.reference_to(target_of(relation), data) for relation, data in named}
    for record in records:
        if record.conflicts:
            references |= chosen_references(board, record)
    # What was overwritten is in no cell any more; people are told of it, and take it back, by its name.
    lost_updates = [lost for record_plan in plan.open_records for lost in record_plan.lost]
    for mapping, relation in board.relations if lost_updates else ():
        if board.converter(mapping).names_items:
            items = {str(lost.value) for lost in lost_updates if lost.key == mapping.key and lost.value is not None}
            references |= {field_values.Reference(target_of(relation), "monday_id", item_id) for item_id in items}
    # What records name in NPD was read with them.
    names = [relation.name for _, relation in board.relations]
    joined: list[SyncedModel] = [
        related for record in records for name in names if (related := getattr(record.record, name)) is not None
    ]
    by_reference = {field_values.Reference(type(other), "pk", str(other.pk)): (other,) for other in joined}
    related = lookups.read_related(
        references, replace(facts.related, records={**facts.related.records, **by_reference})
    )
    types_without_item = {other.entity_type() for other in joined if not other.monday_id}
    boards = {name for name in types_without_item if (link := link_of(name)) and link.board_id}
    related = replace(related, boards=related.boards | boards, removed_items=frozenset(removed))
    return replace(facts, board=board.with_names(_item_names(board, related, records)), related=related)


def _item_names(
    board: field_values.BoardContext, related: field_values.RelatedFacts, records: Iterable[RecordFacts]
) -> dict[str, str]:
    """Return by whose names items are shown: of NPD's values, of the ones last agreed, of those on Monday. Pure."""
    names: dict[str, str] = {}
    keys = [(mapping, mapping.fields[0]) for mapping, _ in board.relations]
    for facts in records:
        for mapping, name in keys:
            base = facts.ledger.base.get(mapping.key)
            for raw in (field_values.stored_values(facts.record, mapping), base["local"] if base else {}):
                reference = raw.get(name)
                if isinstance(reference, dict) and reference.get("item"):
                    names.setdefault(str(reference["item"]), str(reference["name"]))
    for reference, records_found in related.records.items():
        if reference.by == "monday_id" and records_found:
            names[reference.value] = field_values.record_name(records_found[0])
    return names


def items_told_removed(model: type[SyncedModel], items: Collection[str]) -> set[str]:
    """Return which of these items a pass or a webhook said to be gone from their board; of others Monday can tell."""
    owners = dict(model._default_manager.filter(monday_id__in=items).values_list("pk", "monday_id"))
    ledgers = SyncMetadata.objects.of(model.entity_type(), owners).exclude(remote_state__in=("", field_values.ACTIVE))
    removed = {str(owners[key]) for key in map(UUID, ledgers.values_list("entity_id", flat=True))}
    events = WebhookEvent.objects.filter(item_id__in=set(items) - removed, processed_at=None)
    taken = events.of_kind(EventKind.ARCHIVED, EventKind.DELETED).values_list("item_id", flat=True)
    return removed | {str(item_id) for item_id in taken}
