"""What a set-up must not do beyond its plan: take over columns, take back settings, run ahead, keep names of people."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.utils import timezone

from npd.models import Contact
from sync.boards.board_setup import set_up_all
from sync.choices import Cause, Priority
from sync.connectors.monday import board_structure
from sync.kernel.messages import Conflict
from sync.models import BoardLink, FieldMapping, SetupDraft, SyncMetadata, SyncQueue, UnmatchedItem
from sync.operations.record_requests import turn_sync_on
from sync.operations.setup import plan, run
from sync.operations.setup.fields import SETTINGS_KEY, settings_snapshot, stored_choices
from sync.outbox.queue_rows import enqueue_many
from sync.records.item_links import relink, unlinked_item
from tests.admin import states
from tests.wizard.conftest import PEOPLE, START, Wizard, a_board, an_item, compared_with, draft, later, people
from tests.wizard.test_changes import change, set_up


def test_a_column_to_be_made_never_takes_over_one_with_its_id_and_another_title(wizard: Wizard) -> None:
    """People call it “Fax”, and said that it isn't the phone: its values stay."""
    people()
    board = a_board(wizard.monday, "CRM", ("mail", "Email", "email"), ("phone", "Fax", "phone"))
    an_item(wizard.monday, board, "Zoe", phone={"phone": "+12025550123", "countryShortName": "US"})
    wizard.compared(board, column_phone="+")
    wizard.apply()
    columns = {column["id"]: column["title"] for column in wizard.monday.boards()[0]["columns"]}
    made = FieldMapping.objects.get(key="phone").column_id
    assert (columns["phone"], columns[made]) == ("Fax", "Phone")
    assert made != "phone"


def test_a_field_left_out_is_not_synced_again_by_the_set_up_command(wizard: Wizard) -> None:
    people()
    wizard.boards(
        organization=a_board(wizard.monday, "Firms"),
        contact=a_board(wizard.monday, "CRM", *PEOPLE, ("organization", "Organization", "text")),
    )
    wizard.map("organization")
    wizard.map("contact", column_organization="")
    wizard.work()
    wizard.apply()
    list(set_up_all())
    assert FieldMapping.objects.get(link__entity_type="contact", key="organization").direction == "none"


def applied() -> Contact:
    """The rows of a set-up that was applied: Ann and Bob are synced. Returns Ann."""
    states.boards()
    ann = states.synced("Ann", "70", email="ann@x.org")
    states.synced("Bob", "71", email="bob@x.org")
    SetupDraft.objects.create(entity_type="contact", state="done", board_name="CRM")
    return ann


def drawn_up(person: User, **changes: dict[str, str]) -> None:
    """The rows of a compared set-up that changes these fields of a board that is set up."""
    link = states.boards()["contact"]
    fields = {key: choice.to_json() for key, choice in stored_choices(link).items()}
    types = {"email": "email", "phone": "phone", "notes": "long_text"}
    ids = [*(one["column"] for one in fields.values()), "position"]
    columns = {one: {"title": one, "type": types.get(one, "text")} for one in ids}
    SetupDraft.objects.create(
        entity_type="contact", board_id=link.board_id, columns=columns, mapped=True, state="compared",
        fields={key: one | changes.get(key, {}) for key, one in fields.items()}, found_at=timezone.now(),
        outcome={SETTINGS_KEY: settings_snapshot(link)},
    )  # fmt: skip


def changing(wizard: Wizard) -> None:
    """Set up, and a change of one field's rule compared."""
    set_up(wizard)
    change(wizard, rule_phone="npd_wins")
    assert draft().state == "compared", draft().problem


def plan_page(wizard: Wizard) -> dict[str, str]:
    """What the plan's page sends, as it is shown now."""
    page = wizard.client.get(START + "plan/").content.decode()
    return dict(re.findall(r'name="(plan-\w+)"\s+value="([^"]*)"', page))


def test_settings_changed_since_it_was_drawn_up_are_not_taken_back_before_they_are_shown(away: Wizard) -> None:
    """To look again is to load the page again: sent once more, it would confirm what it never showed."""
    drawn_up(away.person, phone={"rule": "npd_wins"})
    seen = plan_page(away)
    FieldMapping.objects.filter(key="role_title").update(rule="monday_wins")
    BoardLink.objects.update(creates_records=True)
    page = away.post("plan/", **seen)
    assert "Role: Rule Ask → Monday wins" in page
    assert "Items become records: yes" in page
    assert "The plan has changed since your page was opened" in away.post("plan/", **seen)
    assert draft().state == "compared"
    assert FieldMapping.objects.get(key="role_title").rule == "monday_wins"
    assert "being applied" in away.post("plan/", **plan_page(away))


def test_answers_and_comparisons_after_the_plan_was_shown_are_not_applied_with_it(away: Wizard) -> None:
    record = Contact.objects.create(name="Jon Stone")
    compared_with(away, (record, "John Stone"))
    seen, before = plan_page(away), draft().changed_at
    away.answer("contact", **{str(record.pk): "new"})
    assert draft().changed_at > before
    assert "The plan has changed since your page was opened" in away.post("plan/", **seen)
    seen = plan_page(away)
    away.map("contact", rule_phone="npd_wins")
    away.work()
    assert "The plan has changed since your page was opened" in away.post("plan/", **seen)
    assert draft().state == "compared"
    assert "being applied" in away.post("plan/", **plan_page(away))


def like_an_item(wizard: Wizard) -> Contact:
    """A record whose name is like that of an item, compared."""
    record = Contact.objects.create(name="Jon Stone")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "John Stone", job="Head of secrets")
    wizard.compared(board)
    return record


def test_settings_changed_between_confirmation_and_run_stop_it(wizard: Wizard) -> None:
    changing(wizard)
    wizard.confirm()
    FieldMapping.objects.filter(key="role_title").update(direction="npd_to_monday")
    wizard.work()
    assert draft().state == "draft"
    assert "Role: Direction Both ways → NPD to Monday only" in draft().problem
    assert FieldMapping.objects.get(key="role_title").direction == "npd_to_monday"
    assert FieldMapping.objects.get(key="phone").rule == "ask"


def test_a_relation_waits_for_the_board_that_another_worker_is_making(wizard: Wizard) -> None:
    people()
    wizard.boards(organization="new", contact="new")
    wizard.map("organization")
    wizard.map("contact", column_organization="+")
    wizard.work()
    wizard.confirm()
    # As long as the other worker has it.
    SetupDraft.objects.filter(pk="organization").update(claimed_until=timezone.now() + timedelta(minutes=5))
    wizard.mark = wizard.last_call()
    wizard.work()
    assert not wizard.mutations()
    assert (draft().state, draft().problem) == ("running", "")
    assert "Waits for the board of the organization records" in wizard.get("run/")
    SetupDraft.objects.filter(pk="organization").update(claimed_until=None)
    wizard.work()
    assert [draft(kind).state for kind in ("organization", "contact")] == ["done", "done"]
    assert len(wizard.monday.boards()) == 2


def test_each_call_to_monday_holds_the_draft_on(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long run is not taken for one whose worker died."""
    people()
    wizard.compared("new")
    wizard.confirm()
    taken: list[Any] = []
    keep = run._update_draft

    def slow(held: SetupDraft, **values: Any) -> None:
        """Nearly all of the time for which it is held passes before each step."""
        SetupDraft.objects.filter(pk=held.pk).update(claimed_until=timezone.now() + timedelta(seconds=1))
        keep(held, **values)
        taken.append(SetupDraft.objects.get(pk=held.pk).claimed_until)

    monkeypatch.setattr(run, "_update_draft", slow)
    mark = wizard.last_call()
    wizard.work()
    assert draft().state == "done", draft().problem
    calls = [call for call in wizard.monday.calls(since=mark) if call["kind"] == "mutation"]
    assert len(taken) > len(calls)
    assert all(until > timezone.now() + timedelta(seconds=30) for until in taken)


def test_an_answer_about_an_item_that_is_no_longer_offered_counts_as_none(away: Wizard) -> None:
    record = Contact.objects.create(name="Jon Stone")
    compared_with(away, (record, "John Stone"))
    SetupDraft.objects.update(answers={str(record.pk): "an item that went"}, creates_records=False)
    assert plan.unanswered_pairs(draft())
    assert "1 is not answered; its sync stays off" in away.get("match/")
    page = away.client.get("/admin/sync/boardlink/set-up/match/").content.decode()
    assert page.count(" checked") == 1
    assert plan.plan_totals(draft())["out"] == 1


def test_a_name_like_several_items_is_counted_once_and_lost_items_are_in_the_plan(wizard: Wizard) -> None:
    record = Contact.objects.create(name="Jon Smith")
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    an_item(wizard.monday, board, "John Smith")
    an_item(wizard.monday, board, "Jon Smyth")
    Contact.objects.create(name="Lost", email="lost@x.org", monday_id="4711")
    wizard.compared(board)
    assert "“Jon Smyth” (89 %)" in wizard.get("match/")
    page = wizard.get("plan/")
    assert plan.plan_totals(draft())["unsure"] == 1
    assert "Left out:" not in page
    assert "1 record has lost its item: it isn't on the board Lost" in page
    assert "1 left out" in plan.plan_summary(draft())
    wizard.apply()
    record.refresh_from_db()
    assert (record.monday_id, record.sync_status) == (None, "disabled")
    assert len(wizard.monday.items()) == 2


def test_everyday_work_later_is_no_part_of_the_run(away: Wizard) -> None:
    ann = applied()
    later(None, 600)
    enqueue_many("contact", [ann.pk], cause=Cause.SWEEP, priority=Priority.SWEEP)
    assert SyncQueue.objects.exists()
    page = away.get("run/")
    assert "The set-up is done" in page
    assert "being applied" not in page


def test_many_records_are_not_counted_for_each_question(
    away: Wizard, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    applied()
    monkeypatch.setattr(plan, "CACHE_THRESHOLD", 2)
    try:
        first = plan.setup_progress(draft())
        with django_assert_num_queries(3):  # the draft's row, the kept count's and the queue's
            second = plan.setup_progress(draft())
    finally:
        cache.clear()
    assert (first.synced, second.synced) == (2, 2)


def test_a_record_with_a_rejected_value_needs_attention_and_is_not_counted_as_pending(away: Wizard) -> None:
    ann = applied()
    Contact.objects.filter(pk=ann.pk).update(sync_status="pending")
    SyncMetadata.objects.filter(entity_id=str(ann.pk)).update(
        blocked_fields={"email": {"side": "monday", "reason": "No."}}
    )
    SyncQueue.objects.all().delete()
    progress = plan.setup_progress(draft())
    assert (progress.synced, progress.waiting, progress.attention, progress.total) == (1, 0, 1, 2)


def test_nothing_of_people_stays_in_a_set_up_that_is_done_and_its_board_is_free(wizard: Wizard) -> None:
    like_an_item(wizard)
    wizard.apply()
    done = draft()
    assert (done.found, done.answers, done.columns, done.board_id) == ({}, {}, {}, "")
    assert "Stone" not in str(SetupDraft.objects.values())


def test_a_board_beyond_the_list_is_found_by_its_number(wizard: Wizard, monkeypatch: pytest.MonkeyPatch) -> None:
    board = a_board(wizard.monday, "Far away")
    monkeypatch.setattr(board_structure, "MAX_LISTED_BOARDS", 0)
    assert f"Far away ({board})" not in wizard.get("boards/?q=far")
    assert f"Far away ({board})" in wizard.get(f"boards/?q={board}")
    assert "0 boards are listed" in wizard.get("boards/?q=999999999")


def test_a_search_keeps_what_was_chosen_for_the_other_kind(wizard: Wizard) -> None:
    firms, crm = a_board(wizard.monday, "Firms"), a_board(wizard.monday, "CRM")
    form = {"organization": firms, "contact": "", "q": "crm", "search": "1"}
    page = wizard.client.post("/admin/sync/boardlink/set-up/boards/", form).content.decode()
    assert f'<option value="{firms}" selected>' in page
    assert f'<option value="{crm}" >' in page
    assert '<option value="" selected>' in page
    assert not SetupDraft.objects.exists()


def test_an_item_is_linked_with_a_record_that_was_left_out_as_like_it(wizard: Wizard) -> None:
    both = [Contact.objects.create(name=name) for name in ("Ann Berg", "Anne Berg")]
    item = an_item(wizard.monday, board := a_board(wizard.monday, "CRM", *PEOPLE), "Ann Berg")
    wizard.compared(board)
    wizard.apply()
    row = UnmatchedItem.objects.get(item_id=item)
    page = f"/admin/sync/unmatcheditem/{row.pk}/link/"
    shown = wizard.client.get(page).context["records"]
    assert {record.pk for record, *_ in shown} == {one.pk for one in both}
    wizard.client.post(page, {"record": str(both[1].pk), "confirmed": "yes"})
    wizard.drain()
    both[1].refresh_from_db()
    assert (both[1].monday_id, both[1].sync_enabled, both[1].sync_status) == (item, True, "conflict")
    assert not Contact.objects.get(pk=both[0].pk).sync_enabled
    assert not UnmatchedItem.objects.listed().filter(item_id=item).exists()


@pytest.mark.django_db(transaction=True)  # what a save leaves to the queue is told apart by its transaction
def test_two_records_that_are_like_one_item_both_stay_safe(wizard: Wizard) -> None:
    """Turned on again, each asks whose the item is; neither gets a second one by itself."""
    both = [Contact.objects.create(name=name) for name in ("Ann Berg", "Anne Berg")]
    board = a_board(wizard.monday, "CRM", *PEOPLE)
    item = an_item(wizard.monday, board, "Ann Berg")
    wizard.compared(board)
    assert set(draft().found["unsure_of"]) == {str(one.pk) for one in both}
    counts = plan.plan_totals(draft())
    assert (counts["unsure"], counts["alike"], counts["ambiguous"], counts["unmatched"]) == (2, 1, 0, 0)
    wizard.apply()
    for record in both:
        record.refresh_from_db()
        assert (record.sync_enabled, record.monday_id) == (False, None)
        turn_sync_on(record)
    wizard.drain()
    assert [one["id"] for one in wizard.monday.items()] == [item]
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"conflict"}
    assert {unlinked_item(record).item_id for record in both} == {item}  # type: ignore[union-attr]
    assert relink(both[0], "dora") == item
    with pytest.raises(Conflict):
        relink(both[1], "dora")
