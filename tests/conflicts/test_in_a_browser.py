"""Conflicts in a real browser: the keys that the ten conflicts don't need, a batch that is stopped, every page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts import bulk_resolution
from conflicts.admin.bulk_pages import batch_url
from conflicts.models import ConflictBatch, SyncConflict
from conflicts.rejections import answer_rejection
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from sync.kernel.conflict_store import ConflictReport, FieldConflict
from sync.models import FieldMapping, SyncQueue
from tests.admin import states
from tests.conflicts.conftest import PHONE, REFUSED, ROLE, conflict_of, finding, record, rejected_too
from tests.conflicts.test_about_record import gone, who
from tests.conflicts.test_refused import SEEN, named, page_of
from tests.conflicts.test_screen import LIST, screen
from tests.support.pages import barriers, faults_of, press

pytestmark = [pytest.mark.django_db(transaction=True)]
RAW = {"local": {"role_title": "1"}, "remote": "2", "base": None}


def of_fields(name: str, *fields: FieldConflict, kind: str = "fields") -> Contact:
    made = Contact.objects.create(name=name, monday_id=str(700 + Contact.objects.count()))
    record(ConflictReport("contact", made.pk, made.monday_id or "", kind, fields))
    return made


def test_keys_walk_type_explain_and_undo(open_page: Any) -> None:
    first, second = of_fields("first", PHONE, ROLE), of_fields("second", PHONE)
    page, errors = open_page()
    page.goto(screen(conflict_of(first)))
    current = page.locator(".cfl-current legend")
    press(page, "j")
    assert "Role" in current.inner_text()
    press(page, "k")
    assert "Phone" in current.inner_text()
    press(page, "j", "j")
    page.wait_for_url(f"**{screen(conflict_of(second))}")
    press(page, "k")
    page.wait_for_url(f"**{screen(conflict_of(first))}")
    press(page, "?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    press(page, "Escape", "j", "e", "Control+A")
    page.keyboard.type("Admiral")
    press(page, "Enter")
    summary = page.locator("[data-summary]").inner_text()
    assert summary == "Writes 1 field in NPD, 1 column on Monday. 1 field stays open."
    press(page, "Enter")
    page.get_by_text("Being applied: Role becomes").wait_for()
    [(key, pick)] = conflict_of(first).stored_choice.fields.items()
    assert (key, pick.choose, pick.value) == ("role_title", "custom", "Admiral")
    button = page.get_by_role("button", name="Undo the resolution of first")
    assert not button.is_visible()
    record(finding(first, applied={"role_title": "Admiral"}, inverse={"role_title": {"before": RAW, "after": RAW}}))
    button.wait_for()
    press(page, "u")
    page.get_by_text("Undo asked by Ada").wait_for()
    assert conflict_of(first).is_being_undone
    assert not errors


def test_a_refused_value_is_corrected_and_taken_back_by_keys(open_page: Any) -> None:
    states.boards()
    made = rejected_too("Ann", "71")
    page, errors = open_page()
    page.goto(page_of(made))
    press(page, "e", "Control+A")
    page.keyboard.type("no address")
    assert "NPD changes, and it is sent to Monday" in page.locator("[data-summary]").inner_text()
    press(page, "Enter", "Enter")
    page.locator(".cfl-problem").wait_for()
    page.wait_for_load_state()
    assert page.locator("input[name=value-email]").input_value() == "no address"
    press(page, "e", "Control+A")
    page.keyboard.type("new@example.com")
    press(page, "Enter", "Enter")
    page.wait_for_url("**answered=*")
    assert Contact.objects.get().email == "new@example.com"
    SyncQueue.objects.all().delete()  # as after the look
    page = page.context.new_page()  # the other one may be about to reload itself
    page.goto(page_of(made))
    page.locator("form[data-undo] button").wait_for()
    press(page, "u")
    page.get_by_text("put back to").first.wait_for()
    assert Contact.objects.get().email == REFUSED
    assert not errors


@pytest.fixture
def batch(ada: User) -> ConflictBatch:
    """Confirmed, and not begun."""
    for number in range(3):
        of_fields(f"c{number}", PHONE)
    found = bulk_resolution.prepare_batch(SyncConflict.objects.all(), "keep_npd", by=ada)
    bulk_resolution.confirm_batch(found, by=ada, expected_count=3)
    return found


def test_a_batch_that_ends_while_stop_here_is_on_its_way_does_not_cut_it_off(
    open_page: Any, batch: ConflictBatch
) -> None:
    page, errors = open_page(390, "dark")
    answered: list[tuple[Any, Any]] = []
    polls: list[Any] = []
    cut_off: list[str] = []
    page.on("requestfailed", lambda request: cut_off.append(request.method))

    def hold(route: Any) -> None:
        if route.request.url.endswith("/progress/"):
            polls.append(route)
        elif route.request.method == "POST":
            answered.append((route, route.fetch(max_redirects=0)))
            polls[0].continue_()  # the last question: the page asks no more once a form is on its way
        else:
            route.continue_()

    page.route(f"**{batch_url(batch)}**", hold)
    with page.expect_request("**/progress/"):
        page.goto(batch_url(batch))
    assert not barriers(page)
    page.get_by_role("button", name="Stop here").focus()
    with page.expect_response("**/progress/") as told:
        press(page, "Enter")
    told.value.finished()
    [(route, answer)] = answered
    route.fulfill(response=answer)
    page.get_by_text("Stopped. 3 conflicts are left as they were").wait_for()
    assert page.get_by_role("button", name="Stop here").count() == 0
    assert not SyncConflict.objects.filter(choice__isnull=False).exists()
    assert not errors
    assert cut_off == []


def test_the_page_of_a_batch_follows_it_and_the_button_goes_when_all_is_stored(
    open_page: Any, batch: ConflictBatch
) -> None:
    page, errors = open_page()
    page.goto(batch_url(batch))
    button = page.get_by_role("button", name="Stop here")
    button.wait_for()
    carry_on_batches()
    button.wait_for(state="hidden")
    page.get_by_text("3 being applied").first.wait_for()
    assert not errors


@pytest.fixture
def urls(ada: User) -> list[str]:
    """Every page of conflicts, with each kind and state on them."""
    states.boards()
    long = "Ein sehr langer Wert " * 12 + "w" * 90
    made = [
        of_fields("fields", PHONE, FieldConflict("notes", long, "Call", f"{long}\nمرحبا 👩‍👩‍👧")),
        of_fields("overwritten", ROLE, kind="overwritten"),
        Contact.objects.create(name="deleted", monday_id="71"),
        Contact.objects.create(name="identity", monday_id="72"),
    ]
    record(gone(made[2], ROLE), who(made[3]))
    done = bulk_resolution.prepare_batch(SyncConflict.objects.filter(kind="fields"), "keep_npd", by=ada)
    bulk_resolution.confirm_batch(done, by=ada, expected_count=1)
    carry_on_batches()
    notes = FieldConflict("notes", long, "Call", "x")
    record(finding(made[0], applied={"phone": PHONE.npd, "notes": notes.npd}))
    for number in range(3):
        one = of_fields(f"decided {number}", PHONE)
        part = bulk_resolution.prepare_batch(SyncConflict.objects.filter(entity_id=one.pk), "keep_npd", by=ada)
        bulk_resolution.confirm_batch(part, by=ada, expected_count=1)
        carry_on_batches()
    open_one = of_fields("open", PHONE, replace(notes, monday=f"{long}\nمرحبا 👩‍👩‍👧"))
    shown = bulk_resolution.prepare_batch(SyncConflict.objects.filter(resolved_at=None), "keep_monday", by=ada)
    refused, left = rejected_too("Ann", "73"), rejected_too("Bea", "74")
    answer = answer_rejection(named(left), by=ada, choose="npd", value="", seen=SEEN)
    return [
        LIST,
        f"{LIST}?state=settled",
        *(screen(SyncConflict.objects.get(entity_id=one.pk)) for one in [*made, open_one]),
        f"{screen(conflict_of(open_one))}?after={conflict_of(made[0]).pk}",
        f"{LIST}batch/{shown.pk}/",
        f"{LIST}batch/{done.pk}/",
        f"{LIST}rule/{FieldMapping.objects.get(link__entity_type='contact', key='phone').pk}/",
        *(f"{LIST}refused/", page_of(refused), page_of(left), f"{page_of(refused)}?answered={answer.pk}"),
    ]


def test_no_page_of_conflicts_has_a_barrier_an_error_or_something_beside_the_screen(
    open_page: Any, urls: list[str]
) -> None:
    assert not faults_of(open_page, urls)
