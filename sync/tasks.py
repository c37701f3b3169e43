"""Celery tasks: wake-ups only. They carry no state; the rows of the queue are the truth.

Each ends soon, and goes on another time, when its worker is told to end (sync/stopping.py).
"""

from __future__ import annotations

from celery import shared_task

from sync import account, directory
from sync.audit.sampling import audit_when_due
from sync.guard.releasing import release
from sync.pruning import prune
from sync.queue import SyncQueueService
from sync.sweeps import compare_due, sweep_due
from sync.wizard.working import carry_on


@shared_task(name="sync.work_board", ignore_result=True)
def work_board(entity_type: str) -> None:
    """Work one board's due rows; ends at once where another worker holds the board."""
    SyncQueueService().process(entity_type, linger=True)


@shared_task(name="sync.sweep", ignore_result=True)
def sweep() -> None:
    """Work every board that has due rows: what a lost wake-up would have done."""
    SyncQueueService().process(linger=True)


@shared_task(name="sync.refresh_allowance", ignore_result=True)
def refresh_allowance() -> None:
    """Compare what is used of Monday's allowance with Monday's own figures, and who the account's people are."""
    account.refresh()
    directory.keep_fresh()


@shared_task(name="sync.prune", ignore_result=True)
def prune_old() -> None:
    """Forget what has been kept for its time."""
    prune()


@shared_task(name="sync.sweep_boards", ignore_result=True)
def sweep_boards() -> None:
    """Ask the boards that are due what changed since they were last asked: what webhooks missed."""
    sweep_due()


@shared_task(name="sync.compare_boards", ignore_result=True, soft_time_limit=3_600, time_limit=3_660)
def compare_boards() -> None:
    """Hold every item against its record and base, on the boards that are due: once a night.

    A board of 100,000 items is 200 calls: longer than any other task may take.
    """
    compare_due()


@shared_task(name="sync.audit", ignore_result=True)
def audit() -> None:
    """Read a sample of synced records again, where the day's calls for that have one to spend."""
    audit_when_due()


@shared_task(name="sync.release_held", ignore_result=True)
def release_held() -> None:
    """Let go what waits for approval and has lost its cause."""
    release()


@shared_task(name="sync.set_up", ignore_result=True, soft_time_limit=3_600, time_limit=3_660)
def carry_on_set_ups() -> None:
    """Compare what the wizard has drawn up, carry out what was confirmed; a bulk import of thousands takes long."""
    carry_on()
