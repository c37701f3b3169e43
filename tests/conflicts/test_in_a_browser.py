"""Conflicts in a real browser: keys, long texts, many at once."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from conflicts.models import SyncConflict
from conflicts.pages.resolution import resolve
from conflicts.reports import FieldConflict
from npd.models import Contact
from sync.records.authors import full_name
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, of_fields, record, values_seen
from tests.conflicts.test_about_record import gone
from tests.conflicts.test_screen import screen
from tests.support.pages import barriers, press

pytestmark = [pytest.mark.django_db(transaction=True)]
RAW = {"local": {"role_title": "1"}, "remote": "2", "base": None}


@pytest.fixture
def page(open_page: Any) -> Iterator[Any]:
    """A signed-in page on which nothing fails."""
    page, errors = open_page()
    yield page
    assert not errors


def test_keys_walk_resolve_and_undo(page: Any) -> None:
    first, second = of_fields("first", PHONE, ROLE), of_fields("second", PHONE)
    page.goto(screen(conflict_of(first)))
    current = page.locator(".cfl-current legend")
    press(page, "j")
    expect(current).to_contain_text("Role")
    press(page, "k")
    expect(current).to_contain_text("Phone")
    press(page, "j", "j")
    page.wait_for_url(f"**{screen(conflict_of(second))}")
    press(page, "k")
    page.wait_for_url(f"**{screen(conflict_of(first))}")
    press(page, "j")
    page.locator("input[name=value-role_title]").focus()
    press(page, "Control+A")
    page.keyboard.type("Admiral")
    enter = page.locator("[name=next] kbd")
    expect(enter).to_be_hidden()  # another field is open, to which it moves
    press(page, "Enter")
    expect(current).to_contain_text("Phone")
    expect(enter).to_be_visible()
    summary = page.locator("[data-summary]")
    expect(summary).to_have_text("Changes NPD and Monday. 1 field stays open.")
    press(page, "Enter")
    page.get_by_text("Saving: Role =").wait_for()
    [(key, pick)] = conflict_of(first).stored_resolution.fields.items()
    assert (key, pick.choose, pick.value) == ("role_title", "custom", "Admiral")
    button = page.get_by_role("button", name="Undo the resolution of first")
    expect(button).to_be_hidden()
    record(finding(first, applied={"role_title": "Admiral"}, inverse={"role_title": {"before": RAW, "after": RAW}}))
    button.wait_for()
    press(page, "u")
    page.get_by_text("Undoing").wait_for()
    assert conflict_of(first).is_being_undone


def test_one_key_chooses_a_side_for_the_field_and_one_button_for_all(page: Any) -> None:
    contact = of_fields("made", PHONE, ROLE)
    page.goto(screen(conflict_of(contact)))
    picked = page.locator("input[name^=pick-]:checked")
    looks = "all => [...new Set(all.map(one => getComputedStyle(one).backgroundColor))]"
    [open_look] = page.locator("input[name^=pick-]").evaluate_all(looks)
    values = "all => all.map(one => one.value)"
    page.get_by_role("button", name="Use NPD for all").click()
    assert picked.evaluate_all(values) == ["npd", "npd"]
    page.get_by_role("button", name="Use Monday for all").click()
    assert picked.evaluate_all(values) == ["monday", "monday"]
    press(page, "1")
    assert picked.evaluate_all(values) == ["npd", "monday"]
    press(page, "3")
    assert picked.evaluate_all(values) == ["npd", "monday"]
    assert open_look not in picked.evaluate_all(looks), "a choice that is open looks like one that is made"


def test_the_form_of_a_typed_value_that_is_known_late_does_not_stand_under_another_choice(page: Any) -> None:
    page.goto(screen(conflict_of(of_fields("made", PHONE))))
    held = list[Any]()

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/*preview=phone", hold)
    result, written = page.locator("input[name=value-phone]"), page.locator("#written-phone")
    with page.expect_request("**/*preview=phone"):
        result.fill("+442079460812")
    page.locator("input[name=pick-phone][value=npd]").check()
    with page.expect_response("**/*preview=phone"):
        held[0].continue_()
    page.wait_for_function("() => !document.querySelector('.htmx-request')")
    expect(written).to_be_empty()
    page.unroute_all()
    result.fill("+442079460813")
    expect(written).to_contain_text("Written as")


def test_an_empty_side_has_red_buttons_that_name_what_it_empties_and_ask(page: Any) -> None:
    contact = of_fields("made", FieldConflict("phone", None, None, "+44 20 7946 0999"), ROLE)
    page.goto(screen(conflict_of(contact)))
    foot, red = page.locator(".cfl-foot button"), page.locator(".cfl-foot button.cfl-deletes")
    assert not barriers(page)
    press(page, "1")
    expect(red).to_have_count(2)
    expect(foot.first).to_have_text("Empty Phone on Monday…")
    assert not barriers(page)
    press(page, "k", "3")
    expect(red).to_have_count(0)
    page.locator("input[name=pick-phone][value=npd]").check()
    press(page, "Enter")
    page.get_by_role("button", name="Empty Phone on Monday").wait_for()
    assert conflict_of(contact).resolution is None


def test_keys_that_are_typed_elsewhere_or_open_something_choose_and_send_nothing(page: Any) -> None:
    states.boards()
    removed = Contact.objects.create(name="removed", monday_id="71", email="r@example.test")
    record(gone(removed))
    several = states.synced("several", "72")
    record(finding(several, PHONE))
    page.goto(screen(conflict_of(removed)))
    chosen = page.locator("[data-option]:checked")
    press(page, "Control+k")
    search = page.locator("#search-input-command")
    expect(search).to_be_focused()
    page.keyboard.type("u123jk?")
    expect(search).to_have_value("u123jk?")
    expect(chosen).to_have_count(0)
    search.fill("")
    press(page, "Escape")
    expect(search).to_be_hidden()
    press(page, "1")
    expect(chosen).to_have_count(1)
    page.goto(screen(conflict_of(several)))
    press(page, "1")
    equal = page.locator(".cfl-equal")
    equal.locator("summary").focus()
    press(page, "Enter")
    expect(equal).to_have_attribute("open", "")
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def test_what_was_chosen_or_typed_is_left_behind_only_after_a_question(page: Any) -> None:
    first, second = (of_fields(name, PHONE) for name in ("first", "second"))
    page.goto(screen(conflict_of(first)))
    result, dialogs = page.locator("input[name=value-phone]"), list[str]()

    def stay(dialog: Any) -> None:
        dialogs.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    result.focus()
    press(page, "Control+A")
    page.keyboard.type("+44 20 7946 0001")
    with page.expect_event("dialog"):
        page.locator(".cfl-name a").click(no_wait_after=True)
    assert dialogs == ["beforeunload"]
    result.focus()
    press(page, "Escape", "Enter")
    page.wait_for_url(f"**{screen(conflict_of(second))}**")
    assert conflict_of(first).stored_resolution.fields["phone"].value == "+44 20 7946 0001"


def test_what_somebody_else_resolved_meanwhile_can_not_be_sent_from_an_open_page(page: Any, person: User) -> None:
    first, second = (of_fields(name, PHONE) for name in ("first", "second"))
    page.goto(screen(conflict_of(first)))
    press(page, "3")
    resolve(conflict_of(first).pk, by=person, resolution_type="keep_npd", seen=values_seen(PHONE))
    page.get_by_text(f"Chosen by {full_name(person)}.").wait_for()
    expect(page.locator(".cfl-foot")).to_be_hidden()
    expect(page.get_by_text("What is chosen below was not sent.")).to_be_visible()
    expect(page.locator("#cfl-next a").first).to_have_text("Next: conflict")
    press(page, "Enter")
    assert not barriers(page)
    page.goto("/admin/conflicts/syncconflict/?kind__in=fields")
    page.get_by_role("row", name="second Phone").get_by_label("Select record").check()
    page.get_by_role("button", name="Use NPD").click()
    button = page.get_by_role("button", name="Use NPD for 1 conflict")
    expect(button).to_be_visible()
    resolve(conflict_of(second).pk, by=person, resolution_type="keep_monday", seen=values_seen(PHONE))
    page.get_by_text("Nothing is left to do here.").wait_for()
    expect(button).to_be_hidden()
    assert not barriers(page)
    assert conflict_of(first).stored_resolution.resolution_type == "keep_npd"
