"""Celery tasks: wake-ups only. The rows of a batch are the truth."""

from __future__ import annotations

from celery import shared_task

from conflicts import batch_work


@shared_task(name=batch_work.TASK, ignore_result=True)
def carry_on_batches() -> None:
    """Go on with the conflicts that a person has settled by the hundred, or wants undone."""
    batch_work.carry_on()
