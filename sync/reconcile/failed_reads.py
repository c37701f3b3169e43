"""How the jobs of a pass end that couldn't read Monday: M18 to M20 of docs/reference/merge/limits-and-stops.md."""

import structlog

from sync.limits import breaker
from sync.limits.api_quota import batch_size
from sync.monday.errors import TOO_COMPLEX, MondayError, Scope
from sync.outbox.claim import Lease
from sync.outbox.finish import PARTS
from sync.reconcile.facts import PassFacts
from sync.reconcile.gather.gatherer import Gatherer
from sync.reconcile.outcomes import Ending, Outcome
from sync.reconcile.pass_plan import Plan
from sync.words.message import of_error

log = structlog.get_logger(__name__)


def end_after_failed_read(lease: Lease, gatherer: Gatherer, facts: PassFacts, plan: Plan) -> None:
    """End the jobs of a pass that couldn't read; only a record's own failure costs an attempt."""
    error = gatherer.error
    assert error is not None
    record_count = len(plan.open_records) + len(plan.open_deleted)
    released = Ending(Outcome.RELEASED, of_error(error))
    if gatherer.inspected is not None:
        # The next pass leaves out the missing column.
        end_unread(facts, plan, released)
    elif error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD):
        log.warning("read refused", board=lease.link.entity_type, scope=str(error.scope), reason=error.sentence)
        end_unread(facts, plan, _ending_of_refused_read(gatherer, facts, error, record_count + len(facts.item_claims)))
    else:
        log.warning("read failed", board=lease.link.entity_type, scope=str(error.scope), reason=error.sentence)
        breaker.stop_board_or_account(lease.link, error)
        ending = ending_of_failed_read(error, record_count, was_isolated=lease.was_isolated)
        end_unread(facts, plan, ending, ending_of_items=released)


def _ending_of_refused_read(gatherer: Gatherer, facts: PassFacts, error: MondayError, claim_count: int) -> Ending:
    """Return the ending of so many claims whose document Monday refused; one that was read alone is at fault."""
    link = facts.board.link
    if error.kind is TOO_COMPLEX and batch_size(link.pk) < claim_count:
        # No record is at fault, and the board's next document is smaller (limits/metered_client.py).
        return Ending(Outcome.RELEASED, of_error(error))
    if refusal := gatherer.try_without_items(facts.board):
        # A document without items is refused too, so the board waits.
        breaker.stop_board(link, refusal)
        return Ending(Outcome.RELEASED, of_error(refusal))
    if claim_count > 1:
        # They are read one by one, to find the one at fault.
        return Ending(Outcome.RELEASED, of_error(error), at_most=1)
    return Ending(Outcome.FAILED, of_error(error))


def ending_of_failed_read(error: MondayError, record_count: int, *, was_isolated: bool) -> Ending:
    """Return the ending of so many records that couldn't be read; a failure of one alone is an attempt."""
    is_transport = error.scope is Scope.TRANSPORT
    # One of the records may be at fault, so they are read again in parts; one that fails alone is at fault.
    at_most = max(1, record_count // PARTS) if is_transport else 0
    counts_attempt = is_transport and record_count == 1 and was_isolated
    return Ending(Outcome.FAILED if counts_attempt else Outcome.RELEASED, of_error(error), at_most=at_most)


def end_unread(facts: PassFacts, plan: Plan, ending: Ending, ending_of_items: Ending | None = None) -> None:
    """End a pass after a failed read with `ending`; claims of items may have another one."""
    for record_plan in (*plan.open_deleted, *plan.open_records):
        record_plan.ending = ending
    # No rule has planned these items, because that comes after reading.
    plan.other_jobs += [(claim, ending_of_items or ending) for claim in facts.item_claims]
