"""What a pass has read, but can't take for true yet."""

from sync.reconcile.field_plan import with_fields
from sync.reconcile.pass_plan import Outcome
from sync.reconcile.pass_results import sync_state_values, sync_status
from sync.reconcile.read_lag import set_aside
from tests.decide.builders import NOW, roles


def test_a_cell_that_is_set_aside_decides_nothing_and_makes_its_record_pending() -> None:
    case = roles("Ours", "Theirs")
    board = case.of_pass.board
    plan = set_aside(board, case.plan, {"role_title": "It lags."}, look_in_seconds=7, kept_events=[3])
    plan = set_aside(board, plan, {"notes": "Nobody emptied it."}, look_in_seconds=60)
    plan = with_fields(case.of_pass, plan).end(Outcome.SETTLED)
    state = sync_state_values(plan, plan.sync_state, NOW)
    assert state["note"] in plan.set_aside.values()
    assert (plan.look_in_seconds, plan.kept_events, state["blocked_fields"]) == (7, {3}, {})
    undecided = {key for key, field in plan.fields.items() if field.decision.action == "undecided"}
    assert undecided == {"role_title", "notes"}
    assert state["base"] == case.facts.sync_state.base
    assert sync_status(board, plan, state, has_open_work=False) == "pending"
