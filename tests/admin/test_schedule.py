"""The schedule's pages are django-celery-beat's own, for superusers."""

import pytest
from django.contrib import admin
from django.test import Client
from django_celery_beat.models import ClockedSchedule, PeriodicTask, SolarSchedule

from sync.kernel.scheduled_jobs import make_missing_jobs
from tests.support.people import staff_who_may

LIST = "/admin/django_celery_beat/periodictask/"


@pytest.fixture(autouse=True)
def jobs(db: None) -> None:
    make_missing_jobs()


def page_of(task: str) -> str:
    return f"{LIST}{PeriodicTask.objects.get(task=task).pk}/change/"


def test_nobody_else_sees_it_and_what_nobody_needs_has_no_page(client: Client) -> None:
    client.force_login(staff_who_may("view_syncqueue", "pause_syncqueue", "view_syncmetadata"))
    assert client.get(LIST).status_code == 403
    assert client.get(page_of("sync.sweep")).status_code == 403
    assert not {ClockedSchedule, SolarSchedule} & set(admin.site._registry)


def test_what_an_administrator_chose_outlives_the_next_start() -> None:
    PeriodicTask.objects.filter(task="sync.sweep").update(enabled=False, interval=None)
    make_missing_jobs()
    assert PeriodicTask.objects.filter(task="sync.sweep", enabled=False, interval=None).count() == 1
