"""The schedule's pages are django-celery-beat's own, for superusers."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django_celery_beat.models import ClockedSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks, SolarSchedule

from sync.kernel.scheduled_jobs import make_missing_jobs
from tests.admin.forms import values_of
from tests.support.people import staff_who_may

LIST = "/admin/django_celery_beat/periodictask/"


@pytest.fixture(autouse=True)
def jobs(db: None) -> None:
    make_missing_jobs()


def page_of(task: str) -> str:
    return f"{LIST}{PeriodicTask.objects.get(task=task).pk}/change/"


def test_a_job_runs_as_often_as_a_superuser_says_and_beat_is_told(browser: Client) -> None:
    page, before = page_of("sync.refresh_quota"), PeriodicTasks.last_change()
    hours = IntervalSchedule.objects.create(every=2, period="hours")
    form = values_of(browser.get(page), "periodictask_form")
    assert browser.post(page, form | {"interval": str(hours.pk)}).status_code == 302
    job = PeriodicTask.objects.get(task="sync.refresh_quota")
    assert (job.interval, job.enabled) == (hours, True)
    assert PeriodicTasks.last_change() > before
    assert "every 2 hours" in browser.get(LIST).content.decode()


def test_a_job_is_switched_off(browser: Client) -> None:
    page = page_of("sync.sweep")
    form = values_of(browser.get(page), "periodictask_form")
    form.pop("enabled")
    browser.post(page, form)
    assert PeriodicTask.objects.get(task="sync.sweep").enabled is False


def test_nobody_else_sees_it_and_what_nobody_needs_has_no_page(client: Client) -> None:
    client.force_login(staff_who_may("view_syncqueue", "pause_syncqueue", "view_syncmetadata"))
    assert client.get(LIST).status_code == 403
    assert client.get(page_of("sync.sweep")).status_code == 403
    assert not {ClockedSchedule, SolarSchedule} & set(admin.site._registry)
