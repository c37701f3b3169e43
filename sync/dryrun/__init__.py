"""The dry run of `sync_reconcile`: what every look would do, decided by the engine itself, and nothing of it done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sync import account, registry
from sync.boards import link_of
from sync.budget.boards import learned
from sync.claims import Claimed
from sync.connectors.monday.errors import MondayError
from sync.dryrun.client import ReadsOnly, reading_only
from sync.dryrun.entries import Entry, What
from sync.dryrun.looking import Looked, Memory, look
from sync.dryrun.wanted import chunks, items_wait_for_backfill, waiting_for_an_answer
from sync.models import BoardLink
from sync.registry import EntitySpec
from sync.standstill import why_not
from sync.sweeping import board_items, unknown_items

__all__ = ["BoardPlan", "Cost", "Entry", "Plan", "What", "plan_everything"]

FIRST = 5
"""Entries of each kind that are kept for the telling, unless all are asked for."""


@dataclass
class Cost:
    """API calls, and complexity points as far as they are known."""

    calls: int = 0
    points: float = 0.0


@dataclass
class BoardPlan:
    """What would happen on one board: how many of each, and the first lines (or all).

    `problem` says why the board, or the rest of it, could not be looked at.
    """

    entity_type: str
    title: str
    looked_at: int = 0
    unchanged: int = 0
    counts: Counter[What] = field(default_factory=Counter)
    entries: list[Entry] = field(default_factory=list)
    real: Cost = field(default_factory=Cost)
    waiting: int = 0
    notes: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass
class Plan:
    """The plan of all boards, and what the dry run itself has cost."""

    boards: list[BoardPlan] = field(default_factory=list)
    spent: Cost = field(default_factory=Cost)

    @property
    def problems(self) -> list[str]:
        """Why a board could not be looked at, or not to its end."""
        return [f"{board.title}: {board.problem}" for board in self.boards if board.problem]

    @property
    def real(self) -> Cost:
        """What carrying it out would cost."""
        return Cost(sum(b.real.calls for b in self.boards), sum(b.real.points for b in self.boards))


Progress = Callable[[BoardPlan], None]


def plan_everything(progress: Progress | None = None, *, every_line: bool = False) -> Plan:
    """Plan what `sync_reconcile` would do now, board by board, in batches; nothing is written on either side."""
    found = Plan()
    with reading_only() as client:
        for spec in registry.entities():
            board = BoardPlan(spec.entity_type, spec.board_title)
            found.boards.append(board)
            _plan_board(board, spec, client, every_line=every_line, progress=progress)
        found.spent = Cost(client.calls, client.points)
    return found


def _plan_board(
    board: BoardPlan, spec: EntitySpec, client: ReadsOnly, *, every_line: bool, progress: Progress | None
) -> None:
    link = link_of(spec.entity_type)
    board.problem = why_not(spec.entity_type)
    if board.problem or link is None:
        return
    before = Cost(client.calls, client.points)
    items = _unknown(board, spec, link)
    board.real = Cost(client.calls - before.calls, client.points - before.points)
    board.waiting = waiting_for_an_answer(spec)
    if items_wait_for_backfill(spec):
        board.notes.append("A backfill is under way, so items without a record are left to it.")
    memory = Memory()
    for chunk in chunks(spec, items, learned(link.pk).size):
        if stopped := _look_at(board, link, chunk, memory, every_line=every_line):
            board.problem = f"Monday could not be read to the end. {stopped}"
            return
        if progress:
            progress(board)


def _unknown(board: BoardPlan, spec: EntitySpec, link: BoardLink) -> list[str]:
    """The board's items that no record has; without its listing, the linked records alone are looked at."""
    try:
        return unknown_items(spec, [item.id for item in board_items(account.client(), link)])
    except MondayError as error:
        board.problem = f"The board could not be listed. {error.sentence}"
        return []


def _look_at(
    board: BoardPlan, link: BoardLink, chunk: Sequence[Claimed], memory: Memory, *, every_line: bool
) -> str:
    """Plan one chunk, in parts where Monday refuses it as a whole; return why nothing can be read any more."""
    looked = look(link, chunk, memory)
    if looked.refused and len(chunk) > 1:
        half = len(chunk) // 2
        stopped = _look_at(board, link, chunk[:half], memory, every_line=every_line)
        return stopped or _look_at(board, link, chunk[half:], memory, every_line=every_line)
    if looked.stopped and len(chunk) > 1:
        return looked.stopped
    _count(board, looked, every_line=every_line)
    return ""


def _count(board: BoardPlan, looked: Looked, *, every_line: bool) -> None:
    board.looked_at += looked.records
    board.unchanged += looked.unchanged
    board.real.calls += looked.reads + looked.writes
    board.real.points += looked.points
    for entry in looked.entries:
        board.counts[entry.what] += 1
        if every_line or board.counts[entry.what] <= FIRST:
            board.entries.append(entry)
