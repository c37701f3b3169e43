"""The admin's pages in a real browser: readable by everyone, at both widths, in both colour schemes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django_celery_beat.models import PeriodicTask

from npd.models import Contact
from sync.kernel import periodic_jobs
from sync.models import BoardLink, GuardedAct, SyncAudit, SyncQueue
from tests.admin import states
from tests.support.pages import faults_of

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def urls(live_server: Any, world: dict[str, Any]) -> list[str]:
    """The pages that people use, with every state on them."""
    act = GuardedAct.objects.create(
        entity_type="contact", entity_id=world["synced"].pk, kind="clear_monday", state="held", label="Phone “1”"
    )
    SyncAudit.objects.create(entity_type="contact", sampled=3, drifted=1, calls=1)
    periodic_jobs.ensure_periodic_jobs()
    records = [world[name] for name in ("synced", "held", "conflicting", "waiting")]
    return [
        "/admin/",
        "/admin/npd/contact/",
        "/admin/npd/contact/?q=nobody",
        "/admin/npd/contact/add/",
        *(reverse("admin:npd_contact_change", args=[record.pk]) for record in records),
        reverse("admin:npd_organization_change", args=[world["organization"].pk]),
        reverse("admin:npd_contact_delete", args=[world["synced"].pk]),
        "/admin/sync/syncqueue/",
        reverse("admin:sync_syncqueue_change", args=[SyncQueue.objects.filter(status="failed").latest("id").pk]),
        "/admin/sync/boardlink/",
        reverse("admin:sync_boardlink_change", args=[BoardLink.objects.get(entity_type="contact").pk]),
        "/admin/sync/guardedact/?state__exact=held",
        f"/admin/sync/guardedact/decide/?how=reject&entity_type=contact&kind=clear_monday&upto={act.pk}",
        "/admin/sync/syncaudit/",
        "/admin/sync/syncmetadata/",
        "/admin/sync/decision/",
        "/admin/sync/tombstone/",
        "/admin/sync/mondayaccount/",
        "/admin/sync/mondayaccount/connect/",
        "/admin/auth/user/",
        "/admin/auth/group/add/",
        "/admin/django_celery_beat/periodictask/",
        *(
            reverse("admin:django_celery_beat_periodictask_change", args=[entry.pk])
            for entry in PeriodicTask.objects.filter(task__in=["sync.sweep", "sync.prune"])
        ),
    ]


def test_pages_have_no_serious_barrier_no_error_and_nothing_beside_the_screen(open_page: Any, urls: list[str]) -> None:
    assert not faults_of(open_page, urls)


def test_taking_the_new_value_puts_it_into_the_field(open_page: Any, world: dict[str, Any]) -> None:
    record = world["synced"]
    page, errors = open_page(1280, "light")
    page.goto(reverse("admin:npd_contact_change", args=[record.pk]))
    Contact.objects.filter(pk=record.pk).update(phone="+46 2", organization=None)
    page.fill("#id_phone", "+46 3")
    page.fill("#id_role_title", "Head")
    page.click("button[name=_save]")
    page.click("[data-npd-take=id_phone]")
    assert page.input_value("#id_phone") == "+46 2"
    page.click("button[name=_save]")
    page.wait_for_url("**/admin/npd/contact/")
    record.refresh_from_db()
    assert (record.phone, record.role_title, record.organization) == ("+46 2", "Head", None)
    assert not errors


def test_an_autocomplete_is_named_by_its_label_and_a_link_by_its_words(open_page: Any, world: dict[str, Any]) -> None:
    states.contact("Nobody yet")
    page, _ = open_page(1280, "light")
    page.goto("/admin/npd/contact/add/")
    assert page.get_by_role("combobox", name="Organization").count() == 1
    assert page.get_by_role("link", name="Conflicts 1", exact=True).count() == 1  # by its words, without its icon's
