"""What is previewed is what the first passes do: it is read off their plans."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import ApprovalRequest, UnmatchedItem
from sync.operations.setup import plan
from sync.outbox.pauses import pause
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, later, mail
from tests.wizard.test_changes import set_up

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
    wizard.planned(board, creates_records="on" if creates else "off")
    shown = {"create": 1, "link": 1, "ambiguous": 2, "items_asked": 2, "sync_off": 1}
    shown["items_out" if creates else "unmatched"] = 1
    assert wizard.plan_shown() == shown

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
def test_an_item_given_in_an_earlier_chunk_is_taken(wizard: Wizard, monkeypatch: pytest.MonkeyPatch, done: str) -> None:
    monkeypatch.setattr(plan, "CHUNK_SIZE", 1)
    for name in ("Uma", "Will"):
        Contact.objects.create(name=name, email="twin@x.org")
    items = [{"name": "Uma", "mail": mail("twin@x.org")}] if done == "link" else []
    wizard.planned(a_board(wizard.monday, "CRM", *WITH_NPD_ID, items=items))
    assert wizard.plan_shown() == {done: 1, "ambiguous": 1}


def test_what_monday_will_not_take_or_probably_reject_is_in_the_plan(wizard: Wizard) -> None:
    """Of records that get an item and of linked ones, and nothing that stays in NPD or stands on Monday already."""
    Contact.objects.create(name="Ann", email="ann@x.org", phone="12")
    Contact.objects.create(name="Bob", email="b/ob@x.org", phone="12")
    Contact.objects.create(name="Eve", email="eve@x.org", phone="+12025550123")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "Ann", mail=mail("ann@x.org"))
    found = wizard.planned(board)
    assert (found.counts["blocked"], found.counts["doubtful"], found.attention_count) == (2, 1, 2)
    assert "blocked" not in wizard.planned(board, direction_phone="monday_to_npd").counts


def test_the_plan_names_what_it_leaves_as_it_is(wizard: Wizard) -> None:
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    Contact.objects.create(name="Off", email="off@x.org", sync_enabled=False)
    Contact.objects.create(name="Silent", email="silent@x.org", sync_direction="monday_to_npd")
    Contact.objects.create(name="Lost", email="lost@x.org", monday_id="4711")
    an_item(wizard.monday, board, "Stranger", mail=mail("stranger@x.org"))
    wizard.planned(board)
    assert wizard.plan_shown() == {"unmatched": 1, "sync_off": 1, "no_item": 1, "missing": 1}


def test_a_pause_defers_what_is_previewed_and_changes_nothing_of_it(wizard: Wizard) -> None:
    set_up(wizard)
    Contact.objects.filter(email="ann@x.org").update(role_title="Head")
    Contact.objects.create(name="Zoe", email="zoe@x.org")
    pause("dora")
    wizard.change()
    shown = wizard.plan_shown()
    assert (shown["create"], shown["to_monday"], "blocked" in shown) == (1, 1, False)


def test_what_would_wait_for_approval_is_not_said_to_be_sent(wizard: Wizard, settings: Any) -> None:
    set_up(wizard)
    settings.GUARD_RECORDS = 1
    Contact.objects.update(email="")
    wizard.change()
    shown = wizard.plan_shown()
    assert (shown.get("to_monday", 0), shown["blocked"]) == (0, 2)
    assert not ApprovalRequest.objects.exists()
