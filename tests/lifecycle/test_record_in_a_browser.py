"""The record's page: its activity beside the form, by field, and a change undone from its own line."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tests.support.pages import barriers
from tests.support.world import World

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_change_is_unfolded_and_undone(world: World, person: User, open_page: Any, width: int, scheme: str) -> None:
    contact = world.linked("Ann", role_title="Buyer", notes="Old notes")
    world.edit(contact, "role_title", "Head")
    world.edit(contact, "notes", "New notes")
    world.hear(contact)
    page, errors = open_page(width, scheme)
    page.goto(reverse("admin:npd_contact_change", args=[contact.pk]))
    page.locator("#npd-activity").wait_for()
    form, activity = page.locator("#contact_form").bounding_box(), page.locator("#npd-activity").bounding_box()
    assert (activity["x"] >= form["x"] + form["width"]) is (width == 1280)
    assert (activity["y"] >= form["y"] + form["height"]) is (width == 390)
    lines = page.locator(".npd-acts > li")
    assert max(lines.evaluate_all("lines => lines.map(line => line.offsetHeight)")) <= 60  # two lines of text
    page.fill("#id_phone", "+44 20 7946 0003")
    line = lines.filter(has_text="Head")
    line.locator("summary").first.focus()
    page.keyboard.press("Enter")
    line.get_by_text("What led to it").wait_for()
    assert not barriers(page)
    assert page.input_value("#id_phone") == "+44 20 7946 0003"
    page.fill("#id_phone", "")
    undo = page.get_by_role("link", name=re.compile(r"^Undo… ?: Role Buyer → Head$"))
    undo.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Put 1 value back").focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 value restored").wait_for()
    contact.refresh_from_db()
    assert (contact.role_title, contact.notes) == ("Buyer", "New notes")
    # Both were edited at once: one line, in which one field is already undone and the other can be.
    act = lines.filter(has_text="Head").filter(has_text="New notes")
    act.locator("summary").first.focus()
    page.keyboard.press("Enter")
    act.locator(".npd-act-fields .npd-act-undone", has_text="Head").wait_for()
    act.locator(".npd-act-fields").get_by_role("link", name=re.compile("^Undo… ?: Notes")).wait_for()
    assert not barriers(page)
    assert not errors
