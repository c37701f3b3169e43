"""Celery tasks: notifications only. The rows of a batch are the truth."""

from __future__ import annotations

from celery import shared_task

from conflicts import bulk_resolution


@shared_task(name="conflicts.carry_on_batches", ignore_result=True)
def carry_on_batches() -> None:
    """Continue the bulk resolutions that a person has confirmed or wants undone."""
    bulk_resolution.work_batches()
