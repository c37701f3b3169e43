"""Celery tasks of NPD itself: notifications only; the work is in tables."""

from __future__ import annotations

from celery import shared_task

from npd.imports.import_jobs import run_all


@shared_task(name="npd.imports", ignore_result=True, soft_time_limit=3_600, time_limit=3_660)
def carry_on_imports() -> None:
    """Read the files that wait, and run every import that a person has confirmed."""
    run_all()
