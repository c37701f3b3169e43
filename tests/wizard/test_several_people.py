"""Several people may set up: what one sends counts only while the draft is as their page showed it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.wizard.conftest import START, Wizard, draft, planned, plans_shown


@pytest.fixture
def other(db: None) -> Wizard:
    """A second administrator, otto."""
    client = Client()
    person = User.objects.create_superuser("otto", "otto@x.org", "x")
    client.force_login(person)
    return Wizard(None, client, person)


def as_shown() -> dict[str, str]:
    """The map's form as the page shows it."""
    shown = {f"{name}-{key}": value for key, choice in draft().fields.items() for name, value in choice.items()}
    return shown | {"version": draft().version}


def test_a_colleague_goes_on_with_a_set_up(away: Wizard, other: Wizard) -> None:
    planned(away)
    other.client.post(START + "map/contact/", as_shown() | {"rule-phone": "npd_wins"})
    assert draft().fields["phone"]["rule"] == "npd_wins"


def test_what_was_changed_after_a_page_was_shown_is_neither_deleted_nor_replaced(away: Wizard, other: Wizard) -> None:
    planned(away)
    shown = as_shown()
    plans = plans_shown()
    away.map("contact", rule_phone="npd_wins")
    for end, form in (
        ("map/contact/", shown | {"rule-email": "npd_wins"}),
        ("discard/contact/", {"version": shown["version"]}),
    ):
        page = other.client.post(START + end, form, follow=True).content.decode()
        assert "The set-up was changed after this page was shown" in page
        assert (draft().fields["phone"]["rule"], draft().fields["email"]["rule"]) == ("npd_wins", "ask")
    other.post("plan/", **plans)
    assert draft().state != "running"
