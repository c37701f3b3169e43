"""Celery tasks of NPD itself: wake-ups only; what is to be done stands in tables."""

from __future__ import annotations

from celery import shared_task

from npd.importing.running import carry_on_all


@shared_task(name="npd.imports", ignore_result=True)
def carry_on_imports() -> None:
    """Carry on every import that a person has confirmed."""
    carry_on_all()
