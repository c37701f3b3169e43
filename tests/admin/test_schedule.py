"""The schedule's pages: an administrator chooses when a job runs, and is told what a job that is off means."""

from __future__ import annotations

from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from sync.kernel import periodic_jobs
from tests.admin.forms import values_of

LIST = "/admin/django_celery_beat/periodictask/"


@pytest.fixture(autouse=True)
def entries(db: None) -> None:
    periodic_jobs.ensure_periodic_jobs()


def page_of(task: str) -> str:
    return f"{LIST}{PeriodicTask.objects.get(task=task).pk}/change/"


def save(browser: Client, task: str, **values: str | None) -> Any:
    """Fill the page's form and press Save; None unticks a box."""
    form = values_of(browser.get(page_of(task)), "periodictask_form") | values
    answer = browser.post(
        page_of(task), {name: value for name, value in form.items() if value is not None}, follow=True
    )
    assert answer.status_code == 200
    return answer


def text(answer: Any) -> str:
    return unescape(answer.content.decode())


def test_another_interval_is_kept_and_beat_is_told(browser: Client) -> None:
    before = PeriodicTasks.last_change()
    save(browser, "sync.refresh_quota", every="2", period="hours")
    found = PeriodicTask.objects.get(task="sync.refresh_quota")
    assert str(found.interval) == "every 2 hours"
    assert PeriodicTasks.last_change() > before
    assert "every 2 hours" in text(browser.get(LIST))


def test_an_interval_that_other_jobs_share_changes_for_this_one_alone(browser: Client) -> None:
    save(browser, "sync.release_approvals", every="5")
    assert str(PeriodicTask.objects.get(task="sync.release_approvals").interval) == "every 5 minutes"
    assert str(PeriodicTask.objects.get(task="sync.sweep_boards").interval) == "every minute"
    assert IntervalSchedule.objects.filter(every=5, period="minutes").count() == 1


def test_another_time_of_day_is_kept(browser: Client) -> None:
    save(browser, "sync.prune", at="23:05")
    crontab = PeriodicTask.objects.get(task="sync.prune").crontab
    assert (crontab.hour, crontab.minute, str(crontab.timezone)) == ("23", "5", "UTC")
    assert "daily at 23:05 UTC" in text(browser.get(LIST))


def test_a_time_that_makes_no_sense_is_refused_in_words(browser: Client) -> None:
    before = list(PeriodicTask.objects.order_by("pk").values())
    too_seldom = save(browser, "sync.sweep", every="1", period="hours")
    assert "At most 5 minutes. In between: Jobs without a message wait" in text(too_seldom)
    assert "greater than or equal to 1." in text(save(browser, "sync.sweep", every="0"))
    assert "Write hours and minutes, for example 02:40." in text(save(browser, "sync.prune", at="25:00"))
    assert list(PeriodicTask.objects.order_by("pk").values()) == before


def test_who_switches_a_job_off_is_told_what_that_means(browser: Client) -> None:
    answer = text(save(browser, "sync.sweep", enabled=None))
    assert "“Start due jobs” is off. Jobs without a message wait" in answer
    assert PeriodicTask.objects.get(task="sync.sweep").enabled is False


def test_a_job_of_ours_can_not_be_deleted_and_a_strangers_can(browser: Client) -> None:
    ours = PeriodicTask.objects.get(task="sync.sweep")
    theirs = PeriodicTask.objects.create(name="theirs", task="theirs.t", interval=ours.interval)
    assert browser.post(f"{LIST}{ours.pk}/delete/", {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [str(ours.pk)], "post": "yes"}
    browser.post(LIST, selected)
    assert browser.get(f"{LIST}{theirs.pk}/change/").status_code == 200
    browser.post(f"{LIST}{theirs.pk}/delete/", {"post": "yes"})
    assert set(PeriodicTask.objects.filter(pk__in=[ours.pk, theirs.pk])) == {ours}


def test_only_who_may_change_the_schedule_can(client: Client) -> None:
    clerk = User.objects.create_user("clerk", "clerk@example.test", "x", is_staff=True)
    client.force_login(clerk)
    assert client.get(LIST).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="view_periodictask"))
    page = client.get(page_of("sync.sweep"))
    assert "every 10 seconds" in text(page)
    assert 'name="every"' not in text(page)
    assert client.post(page_of("sync.sweep"), {"every": "1", "period": "seconds"}).status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="change_periodictask"))
    save(client, "sync.sweep", every="20")
    assert str(PeriodicTask.objects.get(task="sync.sweep").interval) == "every 20 seconds"


def test_what_somebody_else_changed_meanwhile_is_not_taken_back(browser: Client) -> None:
    form = values_of(browser.get(page_of("sync.refresh_quota")), "periodictask_form")
    PeriodicTask.objects.filter(task="sync.refresh_quota").update(enabled=False)
    browser.post(page_of("sync.refresh_quota"), form | {"every": "5"})
    found = PeriodicTask.objects.get(task="sync.refresh_quota")
    assert (found.enabled, str(found.interval)) == (False, "every 5 hours")
