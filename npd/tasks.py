"""Celery tasks of NPD itself: notifications only; the work is in tables."""

from __future__ import annotations

from celery import shared_task

from npd.accounts import second_factor


@shared_task(name="npd.warn_of_wrong_codes", ignore_result=True)
def warn_of_wrong_codes() -> None:
    """Tell people by email whose two-factor codes somebody guesses, and whose second factor was turned on."""
    second_factor.warn_of_wrong_codes()
    second_factor.tell_turned_on()
