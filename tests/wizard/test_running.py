"""The last steps: a plan is confirmed once, carried out to its end, and stops in words where it can't be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from npd.models import Contact
from sync.connectors.monday.board_events import WEBHOOK_EVENTS
from sync.models import BoardLink, FieldMapping, SetupDraft, SyncQueue
from sync.operations.setup.draft import REQUIRED_PERMISSIONS
from tests.admin import states
from tests.wizard.conftest import START, Wizard, an_item, draft, later, mail, people, planned, plans_shown

ENDS = ["", "boards/", "map/contact/", "match/", "plan/", "run/", "progress/run/"]


def test_nothing_is_written_anywhere_before_the_plan_is_confirmed_and_pages_ask_few_queries(
    wizard: Wizard, django_assert_max_num_queries: Any
) -> None:
    planned(wizard)
    pages = {end: wizard.get(end) for end in ENDS}
    assert re.search(r"about \d+ API calls?( \([^)]*\))? and 1 minute\.", pages["plan/"])
    for end in ("match/", "plan/", "run/"):
        with django_assert_max_num_queries(25):
            wizard.client.get(START + end)
    wizard.work()
    wizard.drain()
    assert not wizard.mutations()
    assert not BoardLink.objects.exists()
    assert set(Contact.objects.values_list("sync_status", "monday_id")) == {("pending", None)}


def test_what_needs_attention_is_said_while_the_run_goes_on(away: Wizard) -> None:
    planned(away)
    away.confirm()
    states.conflicting("Cleo", "7")
    assert "1 needs attention" in away.get("progress/run/")


def test_an_empty_list_of_a_new_installation_leads_to_an_import_and_to_the_set_up(away: Wizard) -> None:
    addresses = ("import/", reverse("admin:sync_wizard_connect"))
    lists = [reverse(f"admin:npd_{kind}_changelist") for kind in ("contact", "organization")]
    for page in (away.client.get(one).content.decode().partition('class="npd-empty"')[2] for one in lists):
        assert all(f'{address}"' in page for address in addresses)
    states.boards()
    assert addresses[1] not in away.client.get(lists[0]).content.decode().partition('class="npd-empty"')[2]


def test_a_plan_is_confirmed_by_one_of_two_administrators(away: Wizard) -> None:
    planned(away)
    other = Client()
    other.force_login(User.objects.create_superuser("otto", "o@x.org", "x"))
    seen = plans_shown()
    assert "being applied" in away.confirm()
    answer = other.post(START + "plan/", seen, follow=True).content.decode()
    assert "It was confirmed or left out already" in answer
    assert "The set-up is being applied" in away.map("contact", rule_phone="npd_wins")
    assert draft().state == "running"
    assert draft().fields["phone"]["rule"] == "ask"


def test_an_old_plan_is_made_anew_before_it_can_be_confirmed(away: Wizard) -> None:
    planned(away)
    later(away.monday, 3_600)
    page = away.confirm()
    assert "The plan is too old to be confirmed" in page
    assert draft().state == "comparing"
    away.work()
    away.confirm()
    assert draft().state == "running"


def test_a_column_deleted_after_the_plan_stops_the_run_before_it_writes(wizard: Wizard) -> None:
    board = planned(wizard)
    wizard.confirm()
    wizard.monday.delete_column(board, "job")
    wizard.mark = wizard.last_call()
    wizard.work()
    assert draft().state == "draft"
    assert "Role can't have its column: It is not on the board any more. Choose another column." in draft().problem
    assert not wizard.mutations()
    assert not BoardLink.objects.filter(board_id=board).exists()
    page = wizard.get("run/")
    assert "Stopped" in page
    assert "View the mapping" in page
    assert "It is not on the board any more" in wizard.get("map/contact/")


def test_a_board_deleted_after_the_plan_stops_the_run_and_makes_no_other(wizard: Wizard) -> None:
    board = planned(wizard)
    wizard.confirm()
    wizard.monday.delete_board(board)
    wizard.mark = wizard.last_call()
    wizard.work()
    assert "was deleted on Monday" in draft().problem
    assert not wizard.mutations()


def test_monday_away_is_said_on_the_page(away: Wizard) -> None:
    planned(away)
    SetupDraft.objects.update(board_id="7")
    for end in ("boards/", "map/contact/"):
        assert "No connection to Monday could be made" in away.get(end), end
    assert draft().state == "compared"
    assert "Not connected" in away.post()


def test_monday_away_while_running_is_waited_out_and_nothing_is_made_twice(wizard: Wizard) -> None:
    people()
    wizard.compared("new")
    wizard.confirm()
    wizard.monday.faults({"status": 503, "on": "create_column", "count": 50})
    wizard.work()
    assert draft().state == "running"
    assert "The set-up goes on by itself." in wizard.get("run/")
    wizard.monday.control("faults", "DELETE")
    mark = wizard.last_call()
    wizard.work()
    assert wizard.last_call() == mark, "it was asked again before its time"
    later(wizard.monday, 400)
    wizard.work()
    wizard.work()
    wizard.drain()
    assert draft().state == "done", draft().problem
    assert len(wizard.monday.boards()) == 1


def test_a_worker_that_died_is_followed_by_another(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    people()
    wizard.compared("new")
    wizard.confirm()

    class Died(BaseException):
        """What stands for kill -9."""

    def dies(*arguments: object) -> None:
        raise Died

    for step in (
        "sync.boards.board_setup.board_columns.inspect_board",
        "sync.boards.board_setup.register_webhooks",
        "sync.operations.setup.run._enqueue_records",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(step, dies)
            with pytest.raises(Died):
                wizard.work()
        assert draft().state == "running"
        SetupDraft.objects.update(claimed_until=None)
    wizard.work()
    wizard.drain()
    assert draft().state == "done", draft().problem
    boards = wizard.monday.boards()
    assert [board["name"] for board in boards] == ["Contacts"]
    assert len({column["title"] for column in boards[0]["columns"]}) == len(boards[0]["columns"])
    hooks = wizard.monday.control("webhooks", "GET")["webhooks"]
    assert len(hooks) == len(WEBHOOK_EVENTS)
    assert {mapping.version for mapping in FieldMapping.objects.all()} == {1}
    assert sorted(item["name"] for item in wizard.monday.items()) == ["Ann Ångström", "Bob Stone"]


def test_webhooks_that_can_not_be_made_are_told_and_the_rest_is_done(wizard: Wizard, settings: Any) -> None:
    planned(wizard)
    settings.SITE_URL = "http://127.0.0.1:9"
    wizard.apply()
    assert "the webhooks could not be registered" in wizard.get("run/")
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}


def test_only_who_may_change_boards_and_mappings_comes_in(away: Wizard) -> None:
    planned(away)
    user = User.objects.create_user("member", is_staff=True)
    client = Client()
    client.force_login(user)
    names = [name.split(".")[1] for name in REQUIRED_PERMISSIONS]
    user.user_permissions.set(Permission.objects.filter(codename=names[0]))
    assert {client.get(START + end).status_code for end in ENDS} == {403}
    assert client.post(START + "plan/", plans_shown()).status_code == 403
    assert draft().state == "compared"
    user.user_permissions.set(Permission.objects.filter(codename__in=[*names, "view_mondayaccount"]))
    assert {client.get(START + end).status_code for end in ENDS} == {200}


def test_a_mail_told_meanwhile_is_seen_by_the_run(wizard: Wizard) -> None:
    board = planned(wizard)
    wizard.confirm()
    item = an_item(wizard.monday, board, "Ann, made meanwhile", mail=mail("ann@x.org"))
    wizard.work()
    wizard.drain()
    assert Contact.objects.get(email="ann@x.org").monday_id == item


def test_a_set_up_that_is_done_says_so_everywhere_while_its_first_changes_are_on_their_way(wizard: Wizard) -> None:
    planned(wizard)
    wizard.confirm()
    shown = wizard.client.get(START + "run/").content.decode()
    asks = re.search(r'hx-get="([^"]+)"', shown)
    assert asks, "the page asks how far it is"
    assert "HX-Refresh" not in wizard.client.get(asks[1]).headers
    wizard.work()
    assert (draft().state, SyncQueue.objects.filter(status="pending").exists()) == ("done", True)
    assert wizard.client.get(asks[1]).headers["HX-Refresh"] == "true"
    page = wizard.get("run/")
    assert "its first changes are on their way" in page
    assert "being applied" not in page
    assert "Applied" not in page
    again = re.search(r'hx-get="([^"]+)"', wizard.client.get(START + "run/").content.decode())
    assert again, "it goes on asking"
    assert "HX-Refresh" not in wizard.client.get(again[1]).headers
    Contact.objects.update(sync_status="synced")  # what is left only looks whether they still are
    assert "HX-Refresh" in wizard.client.get(again[1]).headers
