"""Celery tasks: wake-ups only. They carry no state; the rows of the queue are the truth."""

from __future__ import annotations

from celery import shared_task

from sync import account, directory
from sync.queue import SyncQueueService


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
