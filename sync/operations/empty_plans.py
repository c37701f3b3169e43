"""Whether a pass would change anything, by its plan: comparisons give records whose plan is empty no pass."""

from collections.abc import Collection
from copy import copy
from uuid import UUID

from sync.choices import SyncStatus
from sync.fields import field_values
from sync.merge import Action
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.board_filter import leave_out_after_write
from sync.reconcile.changes import lacks_npd_id
from sync.reconcile.facts import PassFacts
from sync.reconcile.restraints import ended_requests
from sync.reconcile.settle.record import STORED, SYNC_STATE_STATUS, complete_sync_state, sync_status


def changed_records(facts: PassFacts, plan: pass_plan.Plan, with_jobs: Collection[UUID] = ()) -> frozenset[UUID]:
    """Return the records for which the pass would send, write, ask or end anything.

    The time of a pass alone is no change. Records in `with_jobs` may have events, an open intent and the status pending
    because of their job.
    """
    ended = [request for request, _ in ended_requests(plan.open_requests, plan.records)]
    changed = {request.entity_id for request in (*plan.new_requests, *plan.outdated_requests, *ended)}
    for key, record_plan in plan.records.items():
        if key not in changed and not _is_at_rest(facts, record_plan, has_job=key in with_jobs):
            changed.add(key)
    return frozenset(changed)


def _has_work(board: field_values.BoardContext, plan: pass_plan.RecordPlan, *, has_job: bool) -> bool:
    """Whether the pass would link, log, ask or end anything; what a waiting job stands for doesn't count."""
    facts = plan.facts
    ends_events = plan.item and plan.history.unchecked_events
    ends_others = plan.fields and (facts.open_intents or facts.has_failed_job)
    return bool(
        (plan.removal or plan.unlink_reason or plan.creates or plan.link_to)
        or plan.question
        or (plan.log or (plan.is_open and lacks_npd_id(board, plan)))
        or ((ends_events or ends_others) and not has_job)
        # Every pass decides them again, and a person's decision may wait to be applied.
        or facts.conflicts
        or facts.undo_requests
        or any(field.loop and field.loop is not plan.history.loops.get(key) for key, field in plan.fields.items())
    )


def _is_at_rest(facts: PassFacts, plan: pass_plan.RecordPlan, *, has_job: bool) -> bool:
    """Whether both sides say what they agreed on, and the record is stored as a pass would leave it.

    A record that is asked about is not at rest: it gets a pass, which costs little.
    """
    before = plan.facts.sync_state
    settled = copy(plan)
    settled.sync_state = copy(plan.sync_state)
    if plan.is_open:
        settled.ending = outcomes.DONE
    if not settled.is_done or settled.lost_update_lines or _has_work(facts.board, plan, has_job=has_job):
        return False
    for key, field_plan in plan.fields.items():
        has_same_base = field_plan.base is None or field_plan.base is before.base.get(key)
        if not (field_plan.blocked_code or (has_same_base and field_plan.decision.action is Action.NOTHING)):
            return False
    settled.log = []
    leave_out_after_write(facts, settled, None)
    complete_sync_state(settled, before, facts.now, plan.facts.conflicts)
    settled.sync_state.sync_direction = before.sync_direction  # that of the last pass with something to transfer
    if any(getattr(settled.sync_state, name) != getattr(before, name) for name in STORED):
        return False
    status = sync_status(facts.board, settled, has_open_work=False)
    sync_state_status = SyncStatus.FAILED if plan.facts.has_failed_job else SYNC_STATE_STATUS[status]
    return has_job or (status, sync_state_status) == (plan.record.sync_status, before.sync_status)
