"""A plan as lines for a person, and as an object for a program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sync.dryrun import BoardPlan, Cost, Plan
from sync.dryrun.entries import Entry, What

_SIGNS = {
    What.PUSH: ("→", "to send to Monday"),
    What.PULL: ("←", "to take over from Monday"),
    What.CREATE: ("+", "items to make on the board"),
    What.LINK: ("=", "to link with an item"),
    What.NEW_RECORD: ("+", "records to make in NPD"),
    What.CONFLICT: ("!", "fields in conflict"),
    What.ASK: ("?", "questions to a person"),
    What.ARCHIVE: ("-", "items to archive"),
    What.DELETE_ITEM: ("-", "items to delete"),
    What.DELETE_RECORD: ("-", "records to delete in NPD"),
    What.UNLINK: ("~", "to unlink"),
    What.HELD: ("·", "held"),
    What.LEFT: ("·", "left as they are"),
    What.FAILED: ("x", "that could not be looked at"),
}


def lines(plan: Plan) -> Iterator[str]:
    """Yield the plan as a person reads it."""
    for board in plan.boards:
        yield from _board(board)
        yield ""
    total = {what: sum(board.counts[what] for board in plan.boards) for what in What}
    changes = [f"{number:,} {_SIGNS[what][1]}" for what, number in total.items() if number]
    yield f"Plan: {', '.join(changes)}." if changes else "Plan: nothing to do, both sides agree."
    yield f"This dry run took {_cost(plan.spent)}; nothing was written on either side."
    yield f"Carrying it out takes about {_cost(plan.real)}. Run `manage.py sync_reconcile`."


def _board(board: BoardPlan) -> Iterator[str]:
    yield f"{board.title}: {board.looked_at:,} looked at, {board.unchanged:,} of them the same on both sides."
    for what in What:
        if not board.counts[what]:
            continue
        sign, words = _SIGNS[what]
        yield f"  {sign} {board.counts[what]:,} {words}"
        listed = [entry for entry in board.entries if entry.what is what]
        yield from (f"      {line_of(entry)}" for entry in listed)
        if rest := board.counts[what] - len(listed):
            yield f"      and {rest:,} more (-v 2 lists all)"
    if board.waiting:
        yield f"  {board.waiting:,} wait for the outcome of a call without an answer, and are not looked at yet."
    yield from (f"  {note}" for note in board.notes)
    if board.problem:
        yield f"  Not looked at: {board.problem}"
    elif board.real.calls:
        yield f"  Carrying it out takes about {_cost(board.real)}."


def line_of(entry: Entry) -> str:
    """Return one entry as a person reads it: the record, the field, what becomes what, and why."""
    name = f"{entry.name} · {entry.field}" if entry.field else entry.name
    reason = f" ({entry.reason.rstrip('.')})" if entry.reason else ""
    if entry.what is What.CONFLICT:
        return f"{name}: NPD {_value(entry.before)}, Monday {_value(entry.after)}{reason}"
    if entry.what in (What.PUSH, What.PULL):
        return f"{name}: {_value(entry.before)} → {_value(entry.after)}{reason}"
    if entry.after:
        return f"{name}: {_value(entry.after)}{reason}"
    return f"{name}: {entry.reason}" if entry.reason else name


def as_json(plan: Plan) -> dict[str, Any]:
    """Return the plan for a program; `entries` are those that were kept."""
    return {
        "boards": [_board_as_json(board) for board in plan.boards],
        "cost": {"of_this_dry_run": _cost_as_json(plan.spent), "of_the_real_run": _cost_as_json(plan.real)},
        "problems": plan.problems,
    }


def _board_as_json(board: BoardPlan) -> dict[str, Any]:
    return {
        "entity_type": board.entity_type,
        "board": board.title,
        "looked_at": board.looked_at,
        "unchanged": board.unchanged,
        "waiting_for_an_answer": board.waiting,
        "counts": {str(what): board.counts[what] for what in What},
        "entries": [entry_as_json(entry) for entry in board.entries],
        "cost_of_the_real_run": _cost_as_json(board.real),
        "notes": board.notes,
        "problem": board.problem,
    }


def entry_as_json(entry: Entry) -> dict[str, Any]:
    """Return one entry for a program."""
    return {
        "what": str(entry.what),
        "record": entry.name,
        "entity_id": str(entry.entity_id) if entry.entity_id else None,
        "item_id": entry.item_id or None,
        "field": entry.field or None,
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
    }


def _cost_as_json(cost: Cost) -> dict[str, Any]:
    return {"calls": cost.calls, "complexity": round(cost.points)}


def _cost(cost: Cost) -> str:
    points = f" and {round(cost.points):,} points of complexity" if cost.points else ""
    return f"{cost.calls:,} call{'' if cost.calls == 1 else 's'}{points}"


def _value(text: str) -> str:
    short = text if len(text) <= 60 else f"{text[:59].rstrip()}…"
    return f"“{short}”" if text else "(empty)"
