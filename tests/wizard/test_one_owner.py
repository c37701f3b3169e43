"""One person works on a set-up: others see whose it is, and take it over before anything of theirs counts."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from npd.models import Contact
from sync.connectors.monday.monday_connector import MondayConnector
from sync.models import FieldMapping, SetupDraft
from sync.operations.setup import draft as drafts
from sync.operations.setup import plan
from tests.wizard.conftest import START, Wizard, compared_with, draft, planned, plans_shown
from tests.wizard.test_changes import change, set_up
from tests.wizard.test_open_set_ups import ask_on_the_boards_page


@pytest.fixture
def other(db: None) -> Wizard:
    """A second administrator, otto."""
    return another("otto")


MAP = START + "map/contact/"


def another(name: str) -> Wizard:
    client, person = Client(), User.objects.create_superuser(name, f"{name}@x.org", "x")
    client.force_login(person)
    return Wizard(None, client, person)


def question(page: str) -> tuple[str, dict[str, str]]:
    """Where the page that asks sends its confirmation, and all that stands in it."""
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.partition("npd-wizard-owner")[2])
    sent = {name: unescape(value) for name, value in found if name != "csrfmiddlewaretoken"}
    (sent["take_over"],) = re.findall(r'name="take_over" value="([^"]+)"', page)
    (action,) = re.findall(r'<form method="post" action="([^"]+)" class="npd-state-doors">', page)
    return action, sent


def asked(client: Client, end: str, **form: Any) -> tuple[str, dict[str, str]]:
    """Send a form to dora's set-up."""
    page = client.post(START + end, form).content.decode()
    assert "dora is working on this set-up" in page
    return question(page)


def taken_over(client: Client, end: str, **form: Any) -> str:
    """Send a form, then confirm on the page that asks."""
    return client.post(*asked(client, end, **form), follow=True).content.decode()


def as_shown() -> dict[str, str]:
    """The map's form as the page shows it."""
    shown = {f"{name}-{key}": value for key, one in draft().fields.items() for name, value in one.items()}
    return shown | {"version": draft().version}


def test_another_person_is_told_who_works_on_it_since_when_and_may_look(away: Wizard, other: Wizard) -> None:
    planned(away)
    for end in ("boards/", "map/contact/", "match/", "plan/"):
        page = other.get(end)
        assert re.search(r"dora has worked on this set-up since \d+ \w+ \d{4}, \d\d:\d\d \w+ ?; last change", page)
        assert "To change it, take it over." in page
        assert "has worked on this set-up" not in away.get(end)


SENT: tuple[tuple[str, dict[str, str]], ...] = (
    ("boards/", {"contact": "new", "organization": "new"}),
    ("map/contact/", {"column-email": "mail"}),
    ("map/contact/", {"search": "1"}),  # a search is no way around the question
    ("match/", {}),
    ("match/", {"search": "1"}),
    ("match/", {"contact-threshold": "90", "contact-first_match": "ask"}),
    ("plan/", {}),
    ("discard/contact/", {}),
    ("discard/contact/", {"search": "1"}),
    ("change/contact/", {}),
)


def test_nothing_that_another_person_sends_counts_before_it_is_taken_over(away: Wizard, other: Wizard) -> None:
    planned(away)
    before = list(SetupDraft.objects.values())
    for end, form in SENT:
        page = other.post(end, **form)
        assert "dora is working on this set-up" in page, end
        assert "Go back" in page
        assert list(SetupDraft.objects.values()) == before


def test_what_was_chosen_is_kept_through_the_question_and_replaces_what_was_there(away: Wizard, other: Wizard) -> None:
    planned(away)
    form = as_shown()
    page = taken_over(other.client, "map/contact/", **form | {"rule-phone": "npd_wins"})
    assert "The set-up is yours now, taken over from dora: what you choose replaces what was there." in page
    assert draft().fields["phone"]["rule"] == "npd_wins"
    assert draft().owner == User.objects.get(username="otto")
    assert "Set-up taken over from dora." in LogEntry.objects.values_list("change_message", flat=True)


def test_the_earlier_owner_is_told_and_loses_nothing_that_is_typed(away: Wizard, other: Wizard) -> None:
    planned(away)
    taken_over(other.client, "owner/", back=START + "map/contact/")
    form = as_shown()
    page = away.client.post(START + "map/contact/", form | {"rule-phone": "monday_wins"}).content.decode()
    assert "otto is working on this set-up" in page
    assert '<input type="hidden" name="rule-phone" value="monday_wins">' in page
    assert draft().fields["phone"]["rule"] == "ask"


def test_taking_over_leads_back_to_a_page_of_the_wizard_and_nowhere_else(away: Wizard, other: Wizard) -> None:
    planned(away)
    assert other.client.post(*asked(other.client, "owner/", back=START + "match/"))["Location"] == START + "match/"
    for end in ("", "map/contact/"):
        assert other.client.post(START + "owner/", {"back": START + end})["Location"] == START + end
    for end in ("map/nothing/", "discard/contact/", "progress/run/", "../../../logout/", "match/?q=1"):
        assert other.client.post(START + "owner/", {"back": START + end})["Location"] == START + "boards/", end


def test_what_was_changed_after_the_question_is_neither_deleted_nor_replaced(away: Wizard, other: Wizard) -> None:
    """Meanwhile dora has worked on: that would be deleted, and was never shown."""
    planned(away)
    confirmation = asked(other.client, "discard/contact/", version=draft().version)
    mine = as_shown() | {"rule-email": "npd_wins"}
    away.map("contact", rule_phone="npd_wins")
    for sent in (confirmation, (MAP, mine)):
        page = other.client.post(*sent, follow=True).content.decode()
        assert "The set-up was changed after this page was shown" in page
        rules = {key: one["rule"] for key, one in draft().fields.items()}
        assert (draft().owner, rules["phone"], rules["email"]) == (other.person, "npd_wins", "ask")


def test_a_confirmation_that_comes_after_the_set_up_was_discarded_is_in_nobodys_way(
    away: Wizard, other: Wizard
) -> None:
    planned(away)
    confirmation = asked(other.client, "boards/", contact="new")
    away.post("discard/contact/")
    other.client.post(*confirmation)
    assert draft().owner == User.objects.get(username="otto")


def test_a_colleagues_change_that_was_taken_over_is_shown_and_not_refused(wizard: Wizard, other: Wizard) -> None:
    set_up(wizard)
    change(wizard, direction_phone="none")
    page = taken_over(other.client, "change/contact/")
    assert "taken over from dora" in page
    assert "Contacts: which field is which column?" in page
    assert "nother change" not in page
    assert "You have another change open: Phone: Sync" in other.post("change/contact/")


def test_whoever_goes_on_with_a_set_up_without_owner_has_it_from_then_on(away: Wizard) -> None:
    record = Contact.objects.create(name="Jon Stone")
    compared_with(away, (record, "John Stone"))
    for act in (lambda: away.answer("contact", **{str(record.pk): "new"}), lambda: away.map("contact")):
        SetupDraft.objects.update(owner=None)
        before = draft().owned_at
        act()
        assert draft().owner == User.objects.get(username="dora")
        assert draft().owned_at > before


def test_one_set_up_is_one_persons_whatever_kind_it_is_about(away: Wizard, other: Wizard) -> None:
    planned(away)
    assert "dora is working on this set-up" in other.post("boards/", contact="new", organization="new")
    assert not SetupDraft.objects.filter(entity_type="organization").exists()
    taken_over(other.client, "boards/", contact="new", organization="new")
    assert {one.owner.username for one in SetupDraft.objects.all() if one.owner} == {"otto"}
    assert draft().mapped


def test_one_that_runs_or_is_done_or_whose_owner_is_gone_is_in_nobodys_way(wizard: Wizard, other: Wizard) -> None:
    planned(wizard)
    wizard.confirm()
    assert "It was confirmed or left out already" in other.post("plan/", **plans_shown())
    wizard.work()
    assert draft().state == "done", draft().problem
    other.post("change/contact/")
    assert draft().owner == User.objects.get(username="otto")
    User.objects.get(username="otto").delete()
    assert "Both sides are being compared" in wizard.map("contact", rule_phone="npd_wins")
    assert draft().owner == User.objects.get(username="dora")


def test_a_run_that_fails_leaves_no_second_owner(wizard: Wizard, other: Wizard) -> None:
    """Begun beside a run, a set-up is another person's: once the run has failed, both are open."""
    board = planned(wizard)
    wizard.confirm()
    other.boards(organization="new", contact=board)
    wizard.monday.delete_board(board)
    wizard.work()
    assert (draft().state, draft("organization").state) == ("draft", "draft")
    assert {one.owner for one in SetupDraft.objects.all()} == {User.objects.get(username="otto")}
    other.post("discard/contact/")
    assert not SetupDraft.objects.filter(entity_type="contact").exists()


def test_a_change_asked_on_the_boards_page_is_not_added_to_a_colleagues_nor_begun_beside_it(
    wizard: Wizard, other: Wizard
) -> None:
    link = set_up(wizard)
    wizard.post("change/contact/")
    before = draft().fields
    page = ask_on_the_boards_page(other, link, "job", direction="npd_to_monday")
    assert "dora is working on this set-up. Nothing of yours was kept: take the set-up over, then choose again." in page
    assert draft().fields == before
    assert FieldMapping.objects.get(key="role_title").direction == "bidirectional"
    wizard.post("discard/contact/")
    wizard.boards(organization="new")
    page = ask_on_the_boards_page(other, link, "job", direction="npd_to_monday")
    assert "dora is working on this set-up. Nothing of yours was kept" in page
    assert "Organizations: which field is which column?" in page
    assert not SetupDraft.objects.filter(entity_type="contact").exists()


def test_one_begun_while_monday_is_asked_is_seen_before_another_begins(
    wizard: Wizard, other: Wizard, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = set_up(wizard)
    read_boards = MondayConnector.read_boards

    def read(*arguments: Any) -> Any:
        SetupDraft.objects.get_or_create(entity_type="organization", defaults={"owner": person})
        return read_boards(*arguments)

    monkeypatch.setattr(MondayConnector, "read_boards", read)
    assert "dora is working on this set-up" in ask_on_the_boards_page(other, link, "job", direction="npd_to_monday")
    assert draft().state == "done"


def test_a_save_that_comes_after_another_took_over_is_refused_in_words(away: Wizard, other: Wizard) -> None:
    """Between the question and the save: the row itself is asked, under its lock."""
    planned(away)
    otto, before = User.objects.get(username="otto"), list(SetupDraft.objects.values())
    with pytest.raises(drafts.Conflict, match="dora is working on this set-up"):
        plan.compare_again(otto)
    with pytest.raises(drafts.Conflict, match="Nothing of yours was kept"):
        drafts.choose_matching(otto, "contact", {})
    with pytest.raises(drafts.Conflict, match="dora is working on this set-up"):
        plan.confirm_setup(otto, {"contact": "as it was shown"})
    assert list(SetupDraft.objects.values()) == before
