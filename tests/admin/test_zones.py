"""Times are shown in the reader's zone, with its name; the API always uses UTC."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from config import navigation
from npd.models import Contact
from sync.kernel import humanize
from sync.models import ActivityLine
from tests.admin.test_records import words_of

pytestmark = pytest.mark.django_db

WINTER = datetime(2026, 1, 15, 12, 30, tzinfo=UTC)


def decided(world: dict[str, Any], at: datetime) -> None:
    ActivityLine.objects.filter(pk=ActivityLine.objects.latest("id").pk).update(at=at)


def page(client: Client, world: dict[str, Any], zone: str = "") -> str:
    if zone:
        client.cookies[navigation.ZONE_COOKIE] = zone
    return words_of(client.get(f"/admin/npd/contact/{world['synced'].pk}/change/").content.decode())


def test_a_page_says_in_which_zone_its_times_are(browser: Client, world: dict[str, Any]) -> None:
    for zone, short in (("Europe/Stockholm", "CE"), ("America/Sao_Paulo", "UTC-3)")):
        assert f"Times are in your time zone ({zone}, {short}" in page(browser, world, zone)
    # One request's zone doesn't leak into the next.
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_list_says_times_in_the_readers_zone(browser: Client, world: dict[str, Any]) -> None:
    decided(world, WINTER)
    for zone, title in (
        ("", 'title="15 Jan 2026, 12:30:00 UTC"'),
        ("America/New_York", 'title="15 Jan 2026, 07:30:00 EST · 15 Jan 2026, 12:30:00 UTC"'),
        ("Europe/Stockholm", 'title="15 Jan 2026, 13:30:00 CET · 15 Jan 2026, 12:30:00 UTC"'),
    ):
        if zone:
            browser.cookies[navigation.ZONE_COOKIE] = zone
        assert title in browser.get("/admin/sync/activityline/").content.decode()


def test_a_browser_that_names_no_zone_reads_utc(browser: Client, world: dict[str, Any]) -> None:
    for zone in ("", "Mars/Olympus_Mons", "../../etc/passwd", "Europe", "x" * 4_000):
        text = page(browser, world, zone)
        assert "UTC" in text
        assert ("Times are in UTC" in text) is bool(zone)  # once the browser has sent a zone


def test_the_api_says_utc_whoever_asks(browser: Client, world: dict[str, Any]) -> None:
    browser.cookies[navigation.ZONE_COOKIE] = "Asia/Tokyo"
    assert browser.get(f"/api/v1/contacts/{world['synced'].pk}/").json()["created_at"].endswith("Z")


@pytest.mark.parametrize(
    ("due", "words"),
    [
        (timedelta(seconds=54), "09:01 UTC"),
        (timedelta(minutes=2), "09:02 UTC"),
        (timedelta(hours=15), "16 Jan 2026, 00:00 UTC"),
        (timedelta(hours=15, seconds=5), "16 Jan 2026, 00:00 UTC"),
    ],
)
def test_what_is_due_is_said_to_the_minute_and_at_most_some_seconds_too_early(due: timedelta, words: str) -> None:
    now = datetime(2026, 1, 15, 9, tzinfo=UTC)
    assert humanize.due_time(now + due, now) == words


@pytest.mark.django_db(transaction=True)
def test_a_browser_tells_its_zone_by_itself(open_page: Any) -> None:
    Contact.objects.create(name="Ann", email="ann@x.org")
    page, _errors = open_page(zone="Asia/Tokyo")
    page.goto("/admin/auth/group/")
    page.get_by_role("heading", level=1).wait_for()
    assert page.get_by_text("Times are in").count() == 0
    page.goto("/admin/auth/group/")  # which shows no times
    page.get_by_text("Times are in").wait_for(state="hidden")
    page.goto("/admin/npd/contact/")
    page.get_by_text("Times are in your time zone (Asia/Tokyo, JST)").wait_for()
