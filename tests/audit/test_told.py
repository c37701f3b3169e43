"""Where people read the nightly comparison's result: first page, board, API, doctor."""

from typing import Any

import pytest
from django.test import Client

from npd.models import Contact
from sync.clock import sync_now
from sync.management.commands import monday_check
from sync.models import BoardLink

pytestmark = pytest.mark.django_db


def compared(differed: int = 0) -> BoardLink:
    contact = Contact.objects.create(name="Ann")
    words = {"key": "phone", "words": "Phone: NPD says “1”, Monday “2”, last synced was “1”."}
    differences = [{"record": str(contact.pk), "name": "Ann", "fields": [words]}] if differed else []
    values = {
        "verified_at": sync_now(), "verified_records": 300, "differed_records": differed, "differences": differences,
    }  # fmt: skip
    return BoardLink.objects.update_or_create(entity_type="contact", defaults=values)[0]


def drift_finding() -> Any:
    (drift,) = [finding for finding in monday_check.run_checks() if finding.subject == "comparison"]
    return drift


def test_drift_is_an_alarm_on_the_first_page_that_says_what_to_do(admin_client: Client) -> None:
    board_page = f"/admin/sync/boardlink/{compared(differed=2).pk}/change/"
    html = admin_client.get("/admin/").content.decode()
    assert "2 of 300 checked records were shown as synced, but differed" in html
    assert board_page in html
    assert "Ann: Phone: NPD says “1”, Monday “2”" in admin_client.get(board_page).content.decode()


def test_the_doctor_tells_drift_as_a_problem(settings: Any) -> None:
    settings.MONDAY_API_KEY = "t"
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    assert (drift_finding().level, drift_finding().message[:16]) == ("ok", "Not verified yet")
    compared()
    assert drift_finding().level == "ok"
    compared(differed=1)
    assert drift_finding().level == "problem"
    assert "1 of 300" in drift_finding().message
