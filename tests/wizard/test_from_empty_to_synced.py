"""The whole way: from nothing to records in sync, with boards that are made and boards that are there."""

from __future__ import annotations

import re

from django.contrib.admin.models import LogEntry

from npd.models import Contact, Organization
from sync.models import BoardLink, SetupDraft
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, draft, later, mail, people


def test_new_boards_are_made_and_everything_is_in_sync(wizard: Wizard) -> None:
    people()
    assert "Connection to Monday" in wizard.get()
    assert "Connected" in wizard.post()
    wizard.boards(organization="new", contact="new")
    assert "Next" in wizard.map("organization")
    assert "Both sides are being compared" in wizard.map("contact", column_organization="+")
    wizard.work()
    plan = wizard.get("plan/")
    assert "The board “Organizations” is created" in plan
    assert "API calls" in plan
    assert "first_match" not in wizard.client.get(f"{START}match/").content.decode()  # no item is there to differ
    assert not wizard.mutations()
    assert "The set-up is being applied" in wizard.confirm()
    assert not wizard.mutations()
    wizard.work()
    assert draft().state == "done", draft().problem
    for seconds in (0, 120, 240):  # the relation waits for its organization's item
        later(wizard.monday, seconds)
        wizard.drain()
    assert wizard.monday.item_named("Ann Ångström")["values"]["organization"] == "Nova Labs"  # type: ignore[index]
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    assert set(Organization.objects.values_list("sync_status", flat=True)) == {"synced"}
    end = wizard.get("run/")
    assert "The set-up is done" in end
    assert "2 of 2 synced" in end
    assert "npd-wizard-done" in wizard.client.get(f"{START}run/").content.decode()
    said = list(LogEntry.objects.order_by("pk").values_list("change_message", flat=True))
    assert any("Set-up confirmed: 2 to create, 0 to link" in one for one in said)
    assert said[-1] == "Set-up applied."


def test_while_it_is_compared_each_board_has_one_line_and_the_plan_is_not_yet_next(wizard: Wizard) -> None:
    def shown() -> tuple[list[tuple[str, str]], bool]:
        html = wizard.client.get(f"{START}match/").content.decode()
        (plan,) = re.findall(r'<button class="npd-button([^"]*)"[^>]*value="plan"', html)
        return re.findall(r'<progress[^>]*value="(\d+)" max="(\d+)"', html), "main" in plan

    people()
    wizard.boards(organization="new", contact="new")
    wizard.map("organization")
    wizard.map("contact")
    SetupDraft.objects.filter(entity_type="organization").update(state="compared")
    SetupDraft.objects.filter(entity_type="contact").update(compared=500, to_compare=1998)
    assert shown() == ([("500", "1998")], False)
    wizard.work()
    assert draft().to_compare == Contact.objects.count()
    assert shown() == ([], True)


def test_a_board_that_is_there_is_mapped_matched_and_linked(wizard: Wizard) -> None:
    ann, bob, _ = people()
    board = a_board(
        wizard.monday,
        "CRM",
        *PEOPLE,
        items=[{"name": "Ann Ångström", "mail": mail("ann@x.org"), "job": "Head"}, {"name": "Zoe Zimmer"}],
    )
    wizard.mark = wizard.last_call()
    wizard.boards(contact=board)
    page = wizard.get("map/contact/")
    assert "Suggested: the titles are" in page
    assert "ann@x.org" in page
    wizard.map("contact")
    wizard.work()
    assert draft().found["counts"]["link"] == 1
    assert draft().found["counts"]["create"] == 1
    assert draft().found["counts"]["to_npd"] == 1
    assert not wizard.mutations()
    wizard.apply()
    ann.refresh_from_db()
    bob.refresh_from_db()
    assert (ann.sync_status, bob.sync_status, ann.role_title) == ("synced", "synced", "Head")
    items = {item["name"]: item for item in wizard.monday.items()}
    assert set(items) == {"Ann Ångström", "Bob Stone", "Zoe Zimmer"}
    assert items["Ann Ångström"]["id"] == ann.monday_id
    link = BoardLink.objects.get(entity_type="contact")
    assert (link.board_id, link.creates_records) == (board, False)
    assert link.webhooks
    assert not SetupDraft.objects.filter(entity_type="organization").exists()
