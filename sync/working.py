"""Working the queue: boards one after another, batch by batch, until nothing is due or the time is over."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError, connection

from sync import account, budget, finish, lease, stopping, wake
from sync.backfill import asks_for_board, is_left_behind, settle_abandoned
from sync.boards import link_of
from sync.claims import Claimed, claim, has_due
from sync.clock import sync_now
from sync.connectors.monday.errors import MondayError
from sync.engine import Tally, reconcile
from sync.engine.lost_creates import settle_lost_creates
from sync.lease import Lease, LeaseLost, giving_way
from sync.log_context import of_look
from sync.marks import mark_failed
from sync.models import BoardLink
from sync.standstill import standstill, workable, workable_or_probe_due

log = structlog.get_logger(__name__)

LINGER_SECONDS = 1.0
"""A wake-up that found the board leased ended at once: its holder looks once more after so long."""
LEASE_WAIT_SECONDS = 0.2
LONGEST_NAP_SECONDS = 120.0
"""A wake-up is sent for a time so near; later ones are left to Beat's sweeps."""


@dataclass
class Summary:
    """What a run of the queue did, in records."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0
    waiting: int = 0

    def add(self, claimed: int, tally: Tally) -> None:
        """Count one look."""
        self.claimed += claimed
        self.completed += tally.completed
        self.failed += tally.failed
        self.waiting += tally.waiting


def _after_fault(held: Lease, claimed: list[Claimed], words: str) -> None:
    with held.held():
        if len(claimed) > 1:
            finish.give_back([row for one in claimed for row in one.rows], held.token, words, alone=True)
        else:
            dead = finish.fail(claimed[0].rows, held.token, words)
            mark_failed(held.link.entity_type, claimed[0].entity_id, words, dead=dead)


def _release(held: Lease) -> None:
    """Give the board back, over a new connection where PostgreSQL has ended ours; else the lease runs out."""
    try:
        held.release()
    except (OperationalError, InterfaceError):
        connection.close()
        with suppress(OperationalError, InterfaceError):
            held.release()


@dataclass
class Run:
    """One call of process()."""

    summary: Summary
    until: float
    wait_for_lease: bool
    linger: bool

    def board(self, entity_type: str) -> None:
        """Work one board's due rows, if there are any and the board can be worked."""
        if stopping.asked():
            self._leave(entity_type)
            return
        link = link_of(entity_type)
        if (
            link is None
            or not (has_due(entity_type) or is_left_behind(entity_type))
            or asks_for_board(entity_type)
            or not workable_or_probe_due(link)
            or not account.ready()
        ):
            return
        held = self._lease(link)
        if held is None:
            return
        ended = False
        try:
            ended = self._work(held)
        except LeaseLost as lost:
            log.warning("board lost", board=entity_type, reason=str(lost))
        finally:
            _release(held)
        # Only now: whoever is woken while the board is held ends at once.
        if not ended or stopping.asked():
            self._leave(entity_type)

    def _leave(self, entity_type: str) -> None:
        """Have another worker go on with a board, where there is something to do."""
        if has_due(entity_type):
            wake.send(entity_type)

    def _lease(self, link: BoardLink) -> Lease | None:
        while (held := lease.take(link)) is None and self.wait_for_lease and time.monotonic() < self.until:
            if stopping.wait(LEASE_WAIT_SECONDS):
                break
        return held

    def _work(self, held: Lease) -> bool:
        """Look at batch after batch; return whether this run came to an end, and no other need go on."""
        lingered = not self.linger
        while True:
            if stopping.asked() or time.monotonic() > self.until or asks_for_board(held.link.entity_type):
                return False
            if not workable(held.link) or not self._lost_creates(held):
                break
            worked = self._turn(held)
            if worked is None:
                break
            if worked:
                continue
            if lingered:
                return True
            held.renew()
            stopping.wait(LINGER_SECONDS)
            lingered = True
        self._come_back(held.link)
        return True

    def _come_back(self, link: BoardLink) -> None:
        """Where a minute's allowance ended the work, go on as soon as the next begins, not at the next sweep."""
        found = standstill(link.entity_type, link)
        if not (self.summary.claimed and found.passing and found.until):
            return
        seconds = (found.until - sync_now()).total_seconds()
        if 0 < seconds <= LONGEST_NAP_SECONDS:
            wake.later(link.entity_type, seconds)

    def _turn(self, held: Lease) -> bool | None:
        """Look at the next batch; False where none was due, None where the allowance has no room."""
        turn = budget.take_turn(held.link)
        if turn is None:
            return None
        with turn:
            claimed = claim(held, turn.size, only_urgent=turn.only_urgent)
            if claimed:
                self._look(held, claimed)
        return bool(claimed)

    def _lost_creates(self, held: Lease) -> bool:
        if held.link.npd_id_problem:
            return True  # they are looked for by that column, and made anew by nobody until it is back
        try:
            settle_lost_creates(held)
            settle_abandoned(held)
        except MondayError as error:
            account.hold(held.link, error)
            return False
        return True

    def _look(self, held: Lease, claimed: list[Claimed]) -> None:
        """A fault of our own costs a batch nothing: its records come alone next, where it counts."""
        with of_look(held.link.entity_type) as batch_id:
            try:
                self.summary.add(len(claimed), reconcile(held, claimed, batch_id))
            except LeaseLost:
                raise
            except Exception as error:
                log.exception("look failed", records=len(claimed))
                self._after_fault(held, claimed, error)

    def _after_fault(self, held: Lease, claimed: list[Claimed], error: Exception) -> None:
        fault = type(error).__name__
        words = f"NPD Sync itself failed on this record ({fault}). Please report it with the worker's log."
        giving_way(lambda: _after_fault(held, claimed, words))
        self.summary.failed += len(claimed) == 1
