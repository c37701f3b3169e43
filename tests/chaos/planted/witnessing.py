"""Wrong trust in what Monday's reads and answers show."""

from collections.abc import Iterator, Sequence
from typing import Any

from sync.reconcile.lost_updates import OwnWrite
from tests.chaos import drills
from tests.chaos.planted import Wrong, bug, instead_of

stale_read_believed = bug(
    "stale_read_believed",
    "a read that doesn't show an edit yet ends the edit's event",
    act=drills.drill_told_before_it_is_shown,
)


@instead_of(stale_read_believed, "sync.reconcile.read_lag:_stale_cells")
def _believes_every_read(right: Wrong, *args: Any) -> dict[str, Any]:
    return {}


unshown_item_missed = bug(
    "unshown_item_missed",
    "an item that reads don't return yet counts as one that may be deleted",
    act=drills.drill_saved_before_its_item_is_shown,
)


@instead_of(unshown_item_missed, "sync.reconcile.read_lag:_wait_for_item")
def _waits_for_no_item(right: Wrong, *args: Any) -> float:
    return 0.0


own_write_forgotten = bug(
    "own_write_forgotten",
    "an edit that our write has replaced is pulled where a read still shows it",
    act=drills.drill_saved_just_after_an_edit,
)


@instead_of(own_write_forgotten, "sync.reconcile.read_lag:_reports")
def _knows_events_only(right: Wrong, *args: Any) -> list[Any]:
    return [report for report in right(*args) if not isinstance(report, OwnWrite)]


everything_stale = bug(
    "everything_stale", "every read of the last ten minutes counts as stale", act=drills.drill_pulled_at_once
)


@instead_of(everything_stale, "sync.reconcile.read_lag:unshown_report")
def _believes_no_read(right: Wrong, reports: Sequence[Any], *args: Any) -> Any:
    return reports[-1]


swallowed_taken_for_sent = bug(
    "swallowed_taken_for_sent",
    "the base takes what a write sent whose answer shows the item as it was",
    act=drills.drill_change_without_effect,
)


@instead_of(swallowed_taken_for_sent, "sync.reconcile.our_writes:was_swallowed")
def _takes_any_answer(right: Wrong, *args: Any) -> bool:
    return False


swallowed_for_ever = bug(
    "swallowed_for_ever",
    "a value that Monday doesn't store is sent again by every pass",
    act=drills.drill_write_that_never_lands,
)


@instead_of(swallowed_for_ever, "sync.reconcile.our_writes:sends_in_vain")
def _counts_no_sends(right: Wrong, *args: Any) -> int:
    return 0


dropped_cell_pulled = bug(
    "dropped_cell_pulled",
    "a cell that a move of its item has dropped is emptied in NPD",
    act=drills.drill_moved_and_back,
)


@instead_of(dropped_cell_pulled, "sync.reconcile.emptied_cells:emptied_fields")
def _asks_about_no_cell(right: Wrong, *args: Any) -> Iterator[Any]:
    return iter(())


emptied_cell_filled = bug(
    "emptied_cell_filled", "a cell that a person has emptied is filled in again", act=drills.drill_emptied_on_monday
)


@instead_of(emptied_cell_filled, "sync.reconcile.emptied_cells:was_emptied")
def _hears_of_no_emptying(right: Wrong, *args: Any) -> bool:
    return False
