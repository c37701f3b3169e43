"""Wrong trust in what Monday's reads and answers show."""

from collections.abc import Sequence
from typing import Any

from sync.reconcile.cell_history import OwnWrite
from tests.chaos import drills
from tests.chaos.planted import Wrong, answer, plant

plant(
    "stale_read_believed",
    "a read that doesn't show an edit yet ends the edit's event",
    drills.drill_told_before_it_is_shown,
    "sync.reconcile.read_lag:_stale_cells",
)(answer({}))


plant(
    "unshown_item_missed",
    "an item that reads don't return yet counts as one that may be deleted",
    drills.drill_saved_before_its_item_is_shown,
    "sync.reconcile.read_lag:_wait_for_item",
)(answer(0.0))


@plant(
    "own_write_forgotten",
    "an edit that our write has replaced is pulled where a read still shows it",
    drills.drill_saved_just_after_an_edit,
    "sync.reconcile.read_lag:_reports",
)
def _knows_events_only(right: Wrong, *args: Any) -> list[Any]:
    return [report for report in right(*args) if not isinstance(report, OwnWrite)]


@plant(
    "everything_stale",
    "every read of the last ten minutes counts as stale",
    drills.drill_pulled_at_once,
    "sync.reconcile.read_lag:unshown_report",
)
def _believes_no_read(right: Wrong, reports: Sequence[Any], *args: Any) -> Any:
    return reports[-1]


plant(
    "swallowed_taken_for_sent",
    "the base takes what a write sent whose answer shows the item as it was",
    drills.drill_change_without_effect,
    "sync.reconcile.cell_history:was_swallowed",
)(answer(False))


plant(
    "swallowed_for_ever",
    "a value that Monday doesn't store is sent again by every pass",
    drills.drill_write_that_never_lands,
    "sync.reconcile.our_writes:sends_in_vain",
)(answer(0))


plant(
    "dropped_cell_pulled",
    "a cell that a move of its item has dropped is emptied in NPD",
    drills.drill_moved_and_back,
    "sync.reconcile.emptied_cells:emptied_fields",
)(answer(()))


plant(
    "emptied_cell_filled",
    "a cell that a person has emptied is filled in again",
    drills.drill_emptied_on_monday,
    "sync.reconcile.emptied_cells:was_emptied",
)(answer(False))
