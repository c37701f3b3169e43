"""The admin in a real browser: usable by keyboard alone, and refreshed without being in the way."""

from typing import Any

import pghistory
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from npd.models import Contact
from sync.choices import RecordSyncStatus
from sync.models import SyncMetadata, SyncQueue
from sync.records.authors import full_name
from tests.admin import states
from tests.admin.test_records import change_page
from tests.conflicts.conftest import rejected_too
from tests.support.pages import barriers
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.django_db(transaction=True)]

HALF_A_MINUTE = 31_000


def is_live(request: Any) -> bool:
    return "x-npd-live" in request.headers


# A record's panel


def test_a_records_sync_is_turned_off_by_the_keyboard(open_page: Any, world: dict[str, Any]) -> None:
    record = world["synced"]
    first, errors = open_page(390, "dark")
    first.goto(change_page(record))
    menu = first.get_by_label("More for this record")
    menu.focus()
    first.keyboard.press("Enter")
    assert not barriers(first)
    first.get_by_text("Turn sync off…").wait_for()
    assert first.get_by_role("link", name="Personal data").count() == 1
    first.keyboard.press("Escape")
    assert menu.evaluate("one => one === document.activeElement && !one.parentElement.open")
    first.keyboard.press("Enter")
    first.get_by_text("Turn sync off…").focus()
    first.keyboard.press("Enter")
    first.get_by_role("button", name=f"Turn sync off for {record}").press("Enter")
    first.get_by_text("Turned off by ").wait_for()
    record.refresh_from_db()
    assert not record.sync_enabled
    assert not errors


def test_an_offline_or_signed_out_page_says_so_and_saves(open_page: Any, person: User, world: dict[str, Any]) -> None:
    record = world["synced"]
    page, _errors = open_page(390, "dark")
    page.clock.install()
    page.goto(change_page(record))
    line = page.locator("#npd-stale")

    def follow(*, until_visible: bool) -> int:
        """How many polls, half a minute each, it took until the line appeared or went."""
        requests.clear()

        def is_so() -> bool:
            page.clock.fast_forward(HALF_A_MINUTE)
            return bool(line.is_visible()) is until_visible

        wait_for("the line came or went", is_so)
        return len(requests)

    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if is_live(request) else None)
    page.route("**/contact/**", lambda route: route.abort() if is_live(route.request) else route.continue_())
    assert follow(until_visible=True) >= 2
    assert "the server doesn't answer" in line.inner_text()
    page.unroute("**/contact/**")
    follow(until_visible=False)
    page.fill("#id_role_title", "Typed before")
    page.context.clear_cookies()
    assert follow(until_visible=True) >= 2
    assert "you are signed out" in line.inner_text()
    assert line.get_by_role("link").get_attribute("target") == "_blank"
    assert not barriers(page)
    assert page.input_value("#id_role_title") == "Typed before"
    person.set_password("x")
    person.save()
    with page.context.expect_page() as new_page:
        line.get_by_role("link").click()
    sign_in = new_page.value
    sign_in.fill("#id_login", "dora")
    sign_in.fill("#id_password", "x")
    sign_in.get_by_role("button", name="Sign in", exact=True).click()
    sign_in.locator("#nav-sidebar").wait_for(state="attached")
    sign_in.close()
    follow(until_visible=False)
    page.get_by_role("button", name="Save and continue editing").click()
    page.wait_for_function("document.getElementById('id_role_title')?.defaultValue === 'Typed before'")
    record.refresh_from_db()
    assert record.role_title == "Typed before"


def test_a_records_page_follows_its_sync_and_offers_new_values(open_page: Any, person: Any, db: None) -> None:
    states.boards()
    record = states.waiting("Ann")
    page, errors = open_page(1280, "light")
    page.goto(change_page(record))
    page.locator("#npd-state .npd-badge-wait").wait_for()
    assert page.get_by_role("combobox", name="Organization").count() == 1
    SyncQueue.objects.filter(entity_id=record.pk).update(status="completed")
    states.mark(record, RecordSyncStatus.SYNCED, "5001")
    page.locator("#npd-state .npd-badge-ok").wait_for()
    # An untouched field takes the new value and shows its old one; a field being edited keeps its text.
    expect(page.locator(".npd-unsaved")).to_be_hidden()
    page.fill("#id_role_title", "Mine")
    expect(page.locator(".npd-unsaved")).to_be_visible()
    with pghistory.context(user=person.pk, url="/admin/"):
        Contact.objects.filter(pk=record.pk).update(role_title="Press officer", phone="+12025550147")
    page.wait_for_function("document.getElementById('id_phone').value === '+12025550147'")
    offer, mark = page.locator(".npd-changed[data-field=role_title]"), page.locator(".npd-changed[data-field=phone]")
    offer.wait_for()
    assert mark.get_attribute("data-value") == ""
    assert f"by {full_name(person)}, in the admin, " in mark.inner_text()
    Contact.objects.filter(pk=record.pk).update(phone="+12025550148")
    page.locator(".npd-changed[data-value='+12025550147']").wait_for()
    assert not barriers(page)
    assert offer.get_attribute("data-value") == "Press officer"
    assert page.input_value("#id_role_title") == "Mine"
    offer.get_by_role("button").click()
    assert (page.input_value("#id_role_title"), offer.count()) == ("Press officer", 0)
    mark.get_by_role("button").click()
    assert (page.input_value("#id_phone"), mark.count()) == ("+12025550147", 0)
    page.fill("#id_role_title", "Mine again")
    page.get_by_role("button", name="Save and continue editing").click()
    page.wait_for_function("document.getElementById('id_role_title')?.defaultValue === 'Mine again'")
    record.refresh_from_db()
    assert (record.role_title, record.phone) == ("Mine again", "+12025550147")
    # When a record is deleted, its open page stays with what was typed.
    page.fill("#id_role_title", "Typed")
    record.delete()
    page.get_by_text("This was deleted, so it can't be saved.").wait_for()
    assert page.input_value("#id_role_title") == "Typed"
    assert not errors


def test_a_rejected_field_is_marked_in_the_form_until_it_is_well(open_page: Any, person: Any, db: None) -> None:
    states.boards()
    record = rejected_too("Ann", "75")
    states.mark(record, RecordSyncStatus.PENDING, "75")
    page, errors = open_page(390, "dark")
    page.goto(change_page(record))
    field, mark = page.locator("#id_email"), page.locator("#npd-mark-email")
    assert "Rejected by Monday" in mark.inner_text()
    assert mark.locator(".npd-icon").count() == 1
    described = page.locator(f"#{field.get_attribute('aria-describedby')}")
    assert "Rejected by Monday" in described.inner_text()
    border = "one => getComputedStyle(one).borderTopColor"
    assert field.evaluate(border) != page.locator("#id_phone").evaluate(border)
    look = "one => getComputedStyle(one).backgroundColor"
    save, act = page.locator("[name=_save]"), page.locator("#npd-state .npd-button-main")
    primary, outlined = act.evaluate(look), save.evaluate(look)
    assert primary != outlined
    assert not barriers(page)
    page.locator("#id_phone").press_sequentially("1")
    assert (act.evaluate(look), save.evaluate(look)) == (outlined, primary)
    page.reload()
    SyncMetadata.objects.filter(entity_id=str(record.pk)).update(blocked_fields={})
    states.mark(record, RecordSyncStatus.SYNCED, "75")
    page.wait_for_function("document.getElementById('npd-mark-email').textContent === ''")
    assert field.evaluate(border) == page.locator("#id_phone").evaluate(border)
    assert save.evaluate(look) == primary
    assert not errors


def test_a_new_token_is_copied_by_its_button(open_page: Any, person: User, db: None) -> None:
    page, errors = open_page(390, "dark")
    page.goto("/admin/sync/apitoken/add/")
    page.get_by_role("button", name="Save", exact=True).click()
    token, copy = page.locator(".npd-once pre"), page.locator("[data-npd-copied]")
    token.wait_for()
    assert not barriers(page)
    copy.click()
    expect(copy).to_have_text("Copied")
    assert not errors
