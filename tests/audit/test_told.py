"""Where people read what the nightly comparison verified: first page, board, its own list, API, doctor."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import SyncAudit
from sync.operations import doctor

pytestmark = pytest.mark.django_db


@pytest.fixture
def mary(settings: Any) -> User:
    """An administrator, and static files by their names."""
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    return User.objects.create_superuser("mary", password="x")


@pytest.fixture
def browser(client: Client, mary: User) -> Client:
    """Mary, signed in."""
    client.force_login(mary)
    return client


def sampled(drifted: int = 0) -> SyncAudit:
    contact = Contact.objects.create(name="Ann")
    words = {"key": "phone", "words": "Phone: NPD says “1”, Monday “2”, last synced was “1”."}
    details = [{"record": str(contact.pk), "name": "Ann", "fields": [words]}] if drifted else []
    return SyncAudit.objects.create(entity_type="contact", sampled=300, drifted=drifted, details=details)


def drift_finding() -> Any:
    (found,) = [finding for finding in doctor.run_checks() if finding.subject == "drift"]
    return found


def test_drift_is_an_alarm_on_the_first_page_that_says_what_to_do(browser: Client) -> None:
    sampled(drifted=2)
    html = browser.get("/admin/").content.decode()
    assert "2 records said “synced” and differed" in html
    assert "manage.py sync_reconcile" in html
    assert "/admin/sync/syncaudit/" in html


def test_a_verification_names_the_records_and_fields_that_differed(browser: Client) -> None:
    found = sampled(drifted=1)
    html = browser.get(f"/admin/sync/syncaudit/{found.pk}/change/").content.decode()
    assert "NPD says “1”, Monday “2”" in html
    assert f"/admin/npd/contact/{found.details[0]['record']}/change/" in html


def test_stats_tell_what_was_verified(mary: User) -> None:
    api = APIClient()
    api.force_authenticate(mary)
    assert api.get("/api/v1/sync/stats").json()["verified"] == {"at": None, "sampled": 0, "drifted": 0}
    sampled(drifted=1)
    told = api.get("/api/v1/sync/stats").json()["verified"]
    assert (told["sampled"], told["drifted"]) == (300, 1)
    assert told["at"] is not None


def test_the_doctor_tells_drift_as_a_problem(settings: Any) -> None:
    settings.MONDAY_API_KEY = "t"
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    assert (drift_finding().ok, drift_finding().message[:16]) == (True, "Not verified yet")
    sampled()
    assert drift_finding().ok
    sampled(drifted=1)
    assert not drift_finding().ok
    assert "1 of 300" in drift_finding().message
