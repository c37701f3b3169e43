"""Conflicts in a real browser: settled by the keyboard alone, many at once, on screens that went stale."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts import bulk_resolution
from conflicts.models import SyncConflict
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from sync.kernel.conflict_store import ConflictReport, FieldConflict
from sync.models import FieldMapping
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record
from tests.conflicts.test_about_record import AGAIN, DELETE, UNLINK, gone, who
from tests.conflicts.test_screen import LIST, screen
from tests.support.pages import faults_of, press
from tests.support.world import World

pytestmark = [pytest.mark.django_db(transaction=True)]


def contact(name: str) -> Contact:
    return Contact.objects.create(name=name, monday_id=str(700 + Contact.objects.count()))


def of_fields(name: str, *fields: FieldConflict, kind: str = "fields") -> Contact:
    made = contact(name)
    record(ConflictReport("contact", made.pk, made.monday_id or "", kind, fields))
    return made


def item_gone(name: str, *fields: FieldConflict) -> Contact:
    made = contact(name)
    record(gone(made, *fields, options=[AGAIN, DELETE, UNLINK]))
    return made


def same_person(name: str) -> Contact:
    made = contact(name)
    record(who(made))
    return made


def choices(made: Contact) -> dict[str, tuple[str, str | None]]:
    stored = SyncConflict.objects.get(entity_id=made.pk).stored_choice.fields
    return {key: (pick.choose, pick.value) for key, pick in stored.items()}


def test_j_and_k_walk_through_fields_and_from_their_ends_to_other_conflicts(open_page: Any) -> None:
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
    assert not errors


def test_e_types_a_value_and_the_result_says_what_will_be_written_where(open_page: Any) -> None:
    made = of_fields("typed", PHONE, ROLE)
    page, errors = open_page()
    page.goto(screen(conflict_of(made)))
    press(page, "j", "e")
    page.keyboard.press("Control+A")
    page.keyboard.type("Admiral")
    press(page, "Enter")
    summary = page.locator("[data-summary]").inner_text()
    assert summary == "Writes 1 field in NPD, 1 column on Monday. 1 field stays open."
    page.locator("body").click(position={"x": 5, "y": 30})
    press(page, "Enter")
    page.get_by_text("Chosen by Ada").wait_for()
    assert choices(made) == {"role_title": ("custom", "Admiral")}
    assert not errors


def test_u_undoes_what_was_settled_just_now_once_it_is_written(open_page: Any) -> None:
    first = of_fields("first", PHONE)
    of_fields("second", PHONE)
    page, errors = open_page()
    page.goto(screen(conflict_of(first)))
    press(page, "1", "Enter")
    page.get_by_text("Being applied: Phone becomes").wait_for()
    button = page.get_by_role("button", name="Undo how first was settled")
    assert not button.is_visible()
    raw = {"local": {"phone": "1"}, "remote": "2", "base": None}
    undoes = {"phone": {"before": raw, "after": raw}}
    record(finding(first, applied={"phone": PHONE.npd}, inverse=undoes))
    button.wait_for()
    press(page, "u")
    page.get_by_text("Undo asked by Ada").wait_for()
    assert conflict_of(first).is_being_undone
    assert not errors


def test_of_two_browsers_the_slower_one_is_shown_what_changed_with_its_choices_kept(open_page: Any) -> None:
    made = of_fields("both", PHONE, ROLE)
    address = screen(conflict_of(made))
    (slow, errors), (fast, _) = open_page(), open_page()
    slow.goto(address)
    press(slow, "3", "1")
    fast.goto(address)
    press(fast, "1")
    fast.get_by_role("button", name="Resolve", exact=True).click()
    fast.get_by_text("Chosen by Ada").wait_for()
    moved = replace(ROLE, monday="Head of Everything")
    record(finding(made, moved, applied={"phone": PHONE.npd}))
    slow.get_by_role("button", name="Resolve", exact=True).click()
    slow.get_by_text("Nothing was written.").wait_for()
    assert slow.get_by_text("No longer in conflict: Phone").is_visible()
    assert slow.get_by_text("Changed since you looked. It was: Head of Sourcing").is_visible()
    assert slow.locator("input[name=pick-role_title][value=npd]").is_checked()
    assert not choices(made)
    slow.locator("body").click(position={"x": 5, "y": 30})
    press(slow, "Enter")
    slow.get_by_text("Chosen by Ada").wait_for()
    assert choices(made) == {"role_title": ("npd", None)}
    assert not errors


def test_many_are_settled_and_undone_with_their_looks(open_page: Any, world: World) -> None:
    """The worker is the test itself; everything else is as in production, Monday a sandbox."""
    Contact.objects.bulk_create(Contact(name=f"c{n:03}", role_title="Old") for n in range(30))
    world.work()
    for made in Contact.objects.all():
        world.edit(made, "role_title", "Monday's")
    Contact.objects.update(role_title="NPD's")
    world.work()
    assert SyncConflict.objects.filter(resolved_at=None).count() == 30

    page, errors = open_page()
    page.goto(f"{LIST}?state=open&field=role_title")
    page.get_by_role("button", name="Keep Monday in all…").click()
    page.get_by_role("button", name="Yes, Keep Monday in 30 conflicts").focus()
    press(page, "Enter")
    page.get_by_text("0 of 30").wait_for()
    carry_on_batches()
    page.get_by_text("30 being applied").first.wait_for()
    world.work()
    page.get_by_role("button", name="Undo all of it: 30 conflicts").wait_for()
    assert set(Contact.objects.values_list("role_title", flat=True)) == {"Monday's"}
    assert not SyncConflict.objects.filter(resolved_at=None).exists()

    page.get_by_role("button", name="Undo all of it: 30 conflicts").focus()
    press(page, "Enter")
    page.get_by_text("30 being undone").first.wait_for()
    carry_on_batches()
    world.work()
    carry_on_batches()
    page.get_by_role("link", name=re.compile("30 undone, open again")).wait_for()
    assert set(Contact.objects.values_list("role_title", flat=True)) == {"NPD's"}
    assert SyncConflict.objects.filter(resolved_at=None).count() == 30
    assert not errors


@pytest.fixture
def urls(ada: User) -> list[str]:
    """Every page of conflicts, with each kind and state on them."""
    states.boards()
    long = "Ein sehr langer Wert " * 12 + "w" * 90
    made = [
        of_fields("fields", PHONE, FieldConflict("notes", long, "Call", f"{long}\nمرحبا 👩‍👩‍👧")),
        of_fields("overwritten", ROLE, kind="overwritten"),
        item_gone("deleted", ROLE),
        same_person("identity"),
    ]
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
    return [
        LIST,
        f"{LIST}?state=settled",
        *(screen(SyncConflict.objects.get(entity_id=one.pk)) for one in [*made, open_one]),
        f"{screen(conflict_of(open_one))}?after={conflict_of(made[0]).pk}",
        f"{LIST}batch/{shown.pk}/",
        f"{LIST}batch/{done.pk}/",
        f"{LIST}rule/{FieldMapping.objects.get(link__entity_type='contact', key='phone').pk}/",
    ]


def test_no_page_of_conflicts_has_a_barrier_an_error_or_something_beside_the_screen(
    open_page: Any, urls: list[str]
) -> None:
    assert not faults_of(open_page, urls)
