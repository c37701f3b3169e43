"""Where the answer to a refusal stands, as a state and a sentence: the words are those of conflicts."""

from __future__ import annotations

from conflicts.choice import CUSTOM
from conflicts.progress import APPLYING, HANDED_BACK, SETTLED, Progress
from conflicts.refused_case import Case
from sync import pausing
from sync.choices import QueueDirection, QueueStatus
from sync.models import Decision, SyncQueue
from sync.refused import LEFT_BY
from sync.standstill import why_not


def progress_of(decision: Decision, case: Case | None, *, why_waits: bool = True) -> Progress:
    """The state of an answer by what the queue and the ledger say now; `case` is None where the record is gone."""
    if case is None:
        return Progress(SETTLED, decision.sentence)
    left = LEFT_BY in decision.values
    if not left and _is_worked(decision, case):
        return Progress(APPLYING, decision.sentence, _why_waiting(decision) if why_waits else "")
    if not left and decision.values.get("choose") == CUSTOM and case.waits:
        return Progress(HANDED_BACK, f"{decision.sentence} {case.reason}")
    return Progress(SETTLED, decision.sentence)


def can_be_undone(decision: Decision, case: Case | None) -> bool:
    """Whether there is anything to take back, as far as the answer itself tells; the act says why not."""
    if case is None:
        return False
    return is_left_by(decision, case) if LEFT_BY in decision.values else "raw_before" in decision.values


def is_left_by(decision: Decision, case: Case) -> bool:
    """Whether the value is left in NPD by this very answer, not by a later one."""
    mark = decision.values[LEFT_BY]
    return all(case.left_by.get(name) == mark[name] for name in ("id", "at"))


def _is_worked(decision: Decision, case: Case) -> bool:
    """Whether the look that the answer has woken is still to come."""
    looked = case.around.ledger.last_sync_attempt if case.around.ledger else None
    if looked is not None and looked > decision.at:
        return False
    rows = SyncQueue.objects.filter(entity_type=decision.entity_type, entity_id=decision.entity_id)
    return rows.filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)).exists()


def _why_waiting(decision: Decision) -> str:
    return why_not(decision.entity_type) or pausing.why_waits(decision.entity_type, QueueDirection.TO_MONDAY)
