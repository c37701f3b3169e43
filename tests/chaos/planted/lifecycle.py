"""Wrong treatment of whole records and items."""

from dataclasses import replace
from typing import Any

from sync.fields.field_bases import new_sync_state
from sync.monday.board_items import Item
from sync.reconcile.facts import PassFacts, RecordFacts, RecordHistory
from sync.reconcile.pass_plan import RecordPlan
from tests.chaos import acts, drills
from tests.chaos.planted import Wrong, answer, plant


@plant(
    "delete_on_404",
    "a record is deleted because an answer doesn't show its item",
    drills.drill_item_not_shown,
    "sync.reconcile.missing.identity:_take_own_item",
)
def _deletes(right: Wrong, facts: PassFacts, plan: RecordPlan, item: Item | None) -> None:
    if item is not None:
        right(facts, plan, item)
    else:
        plan.record.delete()
        plan.settle()


plant(
    "guard_off",
    "any number of records may be deleted or emptied at once",
    acts.deletes_in_bulk,
    "sync.records.approvals:ApprovalLimit.is_exceeded_by",
)(answer(False))


@plant(
    "match_to_a_linked_record",
    "a new item takes over a record that has an item already",
    drills.drill_same_address_again,
    "sync.reconcile.missing.unmatched_items:_ItemRule._match_or_create",
)
def _takes_over(right: Wrong, rule: Any) -> Any:
    hits = rule._matching
    if len(hits) == 1 and hits[0].monday_id and hits[0].may_sync:
        taken = replace(rule.item, id=hits[0].monday_id)
        state = new_sync_state(hits[0].entity_type(), hits[0].pk)
        first = RecordFacts(rule.facts.claim, hits[0], state, RecordHistory(rule.pass_facts.now))
        rule.facts = replace(rule.facts, duplicate_of=first, original_item=taken)
        return rule._assign(hits[0], f"Linked with {hits[0]}.")
    return right(rule)


@plant(
    "sentence_without_code",
    "what people read is stored as it reads, without its code",
    acts.delete_record,
    "sync.words.message:as_text",
)
def _stores_words(right: Wrong, message: str) -> str:
    return right(str(message))
