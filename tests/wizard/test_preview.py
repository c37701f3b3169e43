"""What is previewed is what the first passes do: it is read off their plans."""

from __future__ import annotations

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import ApprovalRequest, UnmatchedItem
from sync.operations.setup import draft as drafts
from sync.operations.setup import matches, plan
from sync.outbox.pauses import pause
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, draft, later, mail, people
from tests.wizard.test_changes import change, set_up

ROWS = plan.DONE_ROWS | plan.LEFT_ROWS
WITH_NPD_ID = (*PEOPLE, ("npd_id", "NPD ID", "text"))


@pytest.mark.parametrize("creates", [True, False])
def test_whose_item_is_whose_is_previewed_as_passes_find_it(wizard: Wizard, creates: bool) -> None:
    """Two items of one key, two records of one key, an item whose key a record with an item has, or one without sync,
    and an item that can't become a record: of none of them a record is made, and of the two records one gets an item.
    """
    Contact.objects.create(name="Torn", email="torn@x.org")
    Contact.objects.create(name="Off", email="off@x.org", sync_enabled=False)
    own = Contact.objects.create(name="Own", email="own@x.org")
    for name in ("Uma", "Will"):
        Contact.objects.create(name=name, email="twin@x.org")
    board = a_board(wizard.monday, "CRM", *WITH_NPD_ID)
    item = an_item(wizard.monday, board, "Own", mail=mail("own@x.org"), npd_id=str(own.pk))
    for name, address in (("P", "torn"), ("Q", "torn"), ("Second", "own"), ("Quiet", "off"), (" ", "nobody")):
        an_item(wizard.monday, board, name, mail=mail(f"{address}@x.org"))
    wizard.begin(board, creates=creates)
    wizard.work()
    shown = {"create": 1, "link": 1, "ambiguous": 2, "items_asked": 2, "items_out": 1, "sync_off": 1}
    assert wizard.plan_shown() == shown
    assert draft().found["free"] == []

    wizard.apply()
    for _ in range(2):
        later(wizard.monday, 20)
        wizard.drain()
    found = {one.name: (one.monday_id, one.sync_status) for one in Contact.objects.all()}
    made = wizard.monday.item_named("Uma")
    assert found == {
        "Torn": (None, "conflict"),
        "Own": (item, "synced"),
        "Off": (None, "disabled"),
        "Uma": (made and made["id"], "synced"),
        "Will": (None, "conflict"),
    }
    said = dict(UnmatchedItem.objects.values_list("name", "reason_code"))
    unnamed = "invalid" if creates else "creation_off"
    assert said == {"Second": "ambiguous", "Quiet": "ambiguous", " ": unnamed}


@pytest.mark.parametrize("done", ["link", "create"])
def test_an_item_that_a_record_of_an_earlier_chunk_gets_is_not_given_twice_nor_made_twice(
    wizard: Wizard, monkeypatch: pytest.MonkeyPatch, done: str
) -> None:
    monkeypatch.setattr(matches, "CHUNK_SIZE", 1)
    for name in ("Uma", "Will"):
        Contact.objects.create(name=name, email="twin@x.org")
    items = [{"name": "Uma", "mail": mail("twin@x.org")}] if done == "link" else []
    wizard.compared(a_board(wizard.monday, "CRM", *WITH_NPD_ID, items=items))
    assert wizard.plan_shown() == {done: 1, "ambiguous": 1}


def test_a_pause_defers_what_is_previewed_and_changes_nothing_of_it(wizard: Wizard) -> None:
    set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    Contact.objects.create(name="Zoe", email="zoe@x.org")
    pause("dora")
    change(wizard)
    shown = wizard.plan_shown()
    assert (shown["create"], shown["to_monday"], "blocked" in shown) == (1, 1, False)


@pytest.mark.parametrize(("chunk", "goes", "waits"), [(500, 0, 2), (1, 1, 1)])
def test_what_would_wait_for_approval_is_not_said_to_be_sent(
    wizard: Wizard, settings: Any, monkeypatch: pytest.MonkeyPatch, chunk: int, goes: int, waits: int
) -> None:
    """Also where the limit is passed by records of several passes together."""
    monkeypatch.setattr(matches, "CHUNK_SIZE", chunk)
    set_up(wizard)
    settings.GUARD_RECORDS = 1
    Contact.objects.update(email="")
    change(wizard)
    shown = wizard.plan_shown()
    assert (shown.get("to_monday", 0), shown["blocked"]) == (goes, waits)
    assert not ApprovalRequest.objects.exists()


def test_a_comparison_that_can_not_read_on_is_tried_again(wizard: Wizard) -> None:
    """A copy bears the NPD ID of a record whose own item isn't listed: that one is asked for by its id."""
    set_up(wizard)
    bob = wizard.monday.item_named("Bob Stone")
    assert bob is not None
    wizard.monday.act("archive", item_id=int(bob["id"]))
    board = wizard.monday.boards()[0]["id"]
    an_item(wizard.monday, board, "Copy", npd_id=bob["values"]["npd_id"])
    later(wizard.monday, 20)
    drafts.begin_change(wizard.person, "contact")
    wizard.choose("contact")
    wizard.monday.faults({"status": 503, "on": "items", "skip": 1, "count": 50})  # after the samples of columns
    wizard.work()
    assert draft().state == "comparing"
    wizard.monday.control("faults", "DELETE")
    later(wizard.monday, 300)
    wizard.work()
    assert draft().state == "compared"


def planned() -> dict[str, int]:
    return {code: number for code, number in plan.plan_totals(draft()).items() if number and code in ROWS}


def test_what_a_column_that_is_made_and_an_answered_pair_come_to_is_in_the_plan(wizard: Wizard) -> None:
    """The organization gets its item in this run, and is written then; a pair's values meet as any that are linked."""
    _, _, org = people()
    pair = Contact.objects.create(name="Jörgen Köhler", email="jk@x.org", role_title="Head", organization=org)
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "Ann Ångström", mail=mail("ann@x.org"))
    alike = an_item(wizard.monday, board, "Jörgen Koehler", job="Chair", tel={"phone": "+12025550123"})
    drafts.choose_boards(wizard.person, {"contact": board, "organization": "new"})
    wizard.choose("organization")
    wizard.choose("contact", column_organization="+", direction_organization="bidirectional")
    wizard.work()
    assert planned() == {"create": 1, "link": 1, "to_monday": 1, "out": 1, "alike": 1}
    wizard.answer("contact", **{str(pair.pk): alike})
    shown = planned()
    assert shown == {"create": 1, "link": 2, "to_monday": 2, "to_npd": 1, "conflicts": 1}

    wizard.apply()
    wizard.drain()
    assert SyncConflict.objects.values("entity_id").distinct().count() == shown["conflicts"]
    wrote = Contact.objects.get(pk=pair.pk)
    assert (wrote.monday_id, wrote.phone) == (alike, "+12025550123")
