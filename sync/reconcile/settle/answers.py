"""People's answers to “who is this?”, carried out as far as they still can be."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from uuid import UUID

from conflicts.store import reject_resolutions, save_reports
from sync import choices
from sync.models import IgnoredItem, SyncMetadata
from sync.outbox.pauses import locked_pause
from sync.reconcile import identity, pass_plan, settlement
from sync.reconcile.gather.owners import answer_facts
from sync.reconcile.pass_history import cause_of_claim
from sync.reconcile.settle.pass_run import PassRun
from sync.records import unmatched_items
from sync.records.item_links import ignore_item


def settle_answers(run: PassRun, plan: pass_plan.Plan) -> None:
    """Carry out what people answered, as far as it still can be: decided anew on rows that are locked."""
    entity_type = run.entity_type
    answers = [replace(answer, done="", outdated="", hands_over=False) for answer in plan.answers]
    named, items, merged = identity.named_in(answers)
    # The answers stay, and the next pass carries them out.
    if merged and locked_pause(entity_type):
        return
    facts = answer_facts(run.board, named, items, merged)
    asked_items: set[str] = set()
    reports = []
    for answer in identity.decide_answers(answers, facts):
        asked_of = plan.records[answer.asked_of]
        item_id = answer.conflict.monday_item_id
        if answer.outdated:
            reason = f"It could not be done: {answer.outdated}"
            reject_resolutions(entity_type, [answer.asked_of], reason, only=answer.conflict.conflict_id)
            run.wake(items=[item_id], priority=choices.Priority.PERSON)
        elif answer.done:
            _carry_out_answer(run, asked_of, answer)
            reports.append(settlement.identity_report(asked_of, answer.conflict, answer.done))
            asked_items |= {item_id, *(asked_of.ledger.asked_items or ())}
    if reports:
        save_reports(reports)
        # Records that waited for the same answer say so until their next pass.
        run.wake(records_asking(entity_type, sorted(asked_items - {""})) - plan.records.keys())


def _carry_out_answer(run: PassRun, asked_of: pass_plan.RecordPlan, answer: pass_plan.IdentityAnswer) -> None:
    entity_type = run.entity_type
    by = asked_of.facts.by
    if answer.kind is pass_plan.AnswerKind.MERGE:
        _merge_records(run, answer, by)
    elif answer.kind is pass_plan.AnswerKind.LINK and answer.record_id is not None:
        run.records.filter(pk=answer.record_id).update(monday_id=answer.item_id)
        # What was remembered against the item is overruled.
        IgnoredItem.objects.filter(entity_type=entity_type, item_id=answer.item_id).delete()
        cause = cause_of_claim(asked_of.facts.claim)
        run.log_decision(answer.record_id, answer.item_id, "link", answer.done, actor=by, cause=cause)
        if answer.record_id != answer.asked_of:
            run.wake([answer.record_id], choices.Priority.PERSON)
    elif answer.kind is pass_plan.AnswerKind.TWO_RECORDS:
        SyncMetadata.objects.of(entity_type, [answer.asked_of]).update(made_from_item=False)
    elif answer.kind is pass_plan.AnswerKind.NEW_RECORD:
        # It stays remembered: none of the records with its key is to find it by that key again.
        reason = "A person said that it is none of the records with the same key."
        ignore_item(entity_type, answer.item_id, None, reason)
        unmatched_items.reopen_items(run.link, [unmatched_items.UnmatchedFinding(answer.item_id)])
        wish = {unmatched_items.AS_NEW: True, "by": by}
        priority = choices.Priority.PERSON
        run.wake(items=[answer.item_id], priority=priority, cause=choices.Cause.PERSON, payload=wish)
    elif answer.kind is pass_plan.AnswerKind.LEAVE_ALONE:
        ignore_item(entity_type, answer.item_id, None, "A person said that it has nothing to do with NPD.")


def _merge_records(run: PassRun, answer: pass_plan.IdentityAnswer, by: str) -> None:
    assert answer.made_id is not None
    assert answer.record_id is not None
    made = run.records.get(pk=answer.made_id)  # an answer before this one may have given it its item
    copy(made).delete()
    if answer.hands_over:
        run.records.filter(pk=answer.record_id).update(monday_id=made.monday_id)
    cause = {"by": by, "causes": ["person"], "rule": "they are the same"}
    for entity_id in (answer.made_id, answer.record_id):
        run.log_decision(entity_id, made.monday_id or "", "link", answer.done, actor=by, cause=cause)
    run.wake([answer.record_id], choices.Priority.PERSON)


def records_asking(entity_type: str, items: Sequence[str]) -> set[UUID]:
    ledgers = SyncMetadata.objects.of(entity_type).filter(asked_items__overlap=list(items))
    return {UUID(entity_id) for entity_id in ledgers.values_list("entity_id", flat=True)}
