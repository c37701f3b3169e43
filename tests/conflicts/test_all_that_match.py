"""One side for all that match the list's filters: shown first, confirmed by number, told row by row, undone at once."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from celery import current_app
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from conflicts import bulk_resolution, resolution
from conflicts.models import BatchEntry, ConflictBatch, SyncConflict
from conflicts.resolution import InvalidResolution, resolve, undo
from conflicts.tasks import carry_on_batches
from npd.models import Contact
from sync.kernel import process
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record, seen
from tests.conflicts.test_about_record import AGAIN, DELETE, UNLINK, gone
from tests.conflicts.test_screen import LIST, screen, text_of
from tests.support.people import staff_who_may
from tests.support.world import World

pytestmark = pytest.mark.django_db


@pytest.fixture
def contacts(db: None) -> list[Contact]:
    """Of two the phone differs, of one the role; of the fourth the item is gone, and NPD's side can't stand."""
    found = [Contact.objects.create(name=name, monday_id=f"9{n}") for n, name in enumerate("ABCD")]
    record(finding(found[0], PHONE), finding(found[1], PHONE), finding(found[2], ROLE))
    record(gone(found[3], options=[UNLINK]))
    return found


def prepare(browser: Client, kept: str = "keep_npd", query: str = "") -> tuple[ConflictBatch, Any]:
    answer = browser.post(f"{LIST}all/{kept}/?{query}", follow=True)
    return ConflictBatch.objects.latest("made_at"), answer


def address(batch: ConflictBatch) -> str:
    return f"{LIST}batch/{batch.pk}/"


def confirm(browser: Client, batch: ConflictBatch, expect: int | str | None = None) -> Any:
    number = batch.total if expect is None else expect
    return browser.post(address(batch), {"confirm": "1", "expect": number}, follow=True)


def carried_out(browser: Client, kept: str = "keep_npd", query: str = "") -> ConflictBatch:
    """A batch that was shown, confirmed, and worked."""
    batch, _ = prepare(browser, kept, query)
    confirm(browser, batch)
    carry_on_batches()
    return batch


def outcomes(batch: ConflictBatch) -> dict[str, str]:
    return dict(BatchEntry.objects.filter(batch=batch).values_list("name", "outcome"))


def chosen(contact: Contact) -> str:
    return SyncConflict.objects.get(entity_id=contact.pk).stored_resolution.resolution_type


def test_the_filters_of_the_list_decide_what_matches(browser: Client, contacts: list[Contact]) -> None:
    batch, answer = prepare(browser, query="field=phone&state=open")
    assert set(outcomes(batch)) == {"A", "B"}
    assert "All open conflicts that match: state: Open; field: Phone." in text_of(answer)


def test_the_list_s_own_select_all_leads_to_the_same_page(browser: Client, contacts: list[Contact]) -> None:
    some = [str(SyncConflict.objects.get(entity_id=contacts[0].pk).pk)]
    sent = {"action": "keep_npd", "_selected_action": some, "select_across": "1"}
    answer = browser.post(f"{LIST}?field=phone", sent, follow=True)
    assert "Use NPD in 2 conflicts?" in text_of(answer)
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def test_those_that_were_ticked_go_the_same_way_alone(browser: Client, contacts: list[Contact]) -> None:
    ids = [str(SyncConflict.objects.get(entity_id=contacts[number].pk).pk) for number in (0, 3)]
    sent = {"action": "keep_npd", "_selected_action": ids}
    page = text_of(browser.post(f"{LIST}?state=open", sent, follow=True))
    assert "Use NPD in 1 conflict?" in page
    assert "2 ticked conflicts" in page
    confirm(browser, ConflictBatch.objects.get())
    carry_on_batches()
    assert [chosen(contact) for contact in contacts] == ["keep_npd", "", "", ""]


@pytest.fixture
def mixed(db: None) -> list[Contact]:
    """Of two the phone differs, of three the item is gone."""
    found = [Contact.objects.create(name=name, monday_id=f"8{n}") for n, name in enumerate("ABCDE")]
    record(finding(found[0], PHONE), finding(found[1], PHONE))
    record(*(gone(one, options=[AGAIN, DELETE, UNLINK]) for one in found[2:]))
    return found


def danger(answer: Any) -> list[str]:
    """What the red buttons of a page say."""
    red = r'<(?:button|a)\s+class="[^"]*\b(?:cfl|npd-button)-deletes\b[^"]*"[^>]*>(.*?)</'
    found = re.findall(red, answer.content.decode(), re.DOTALL)
    return [" ".join(one.split()) for one in found]


def test_deletions_are_never_one_button_with_values_and_are_red_with_their_number(
    browser: Client, mixed: list[Contact]
) -> None:
    answer = browser.post(f"{LIST}all/keep_monday/", follow=True)
    values, deletions = ConflictBatch.objects.order_by("-resolution_type")
    assert (values.resolution_type, values.total, values.plan["npd"], values.plan["npd_deleted"]) == (
        "keep_monday", 2, 2, 0,
    )  # fmt: skip
    assert (deletions.resolution_type, deletions.total, deletions.plan["npd_deleted"]) == ("delete_record", 3, 3)
    assert all(address(one) in answer.content.decode() for one in (values, deletions))
    assert [one.startswith("Delete 3 contacts") for one in danger(answer)] == [True]
    assert danger(browser.get(address(values))) == []
    asked = browser.get(address(deletions))
    assert [one.startswith("Delete 3 contacts") for one in danger(asked)] == [True]
    assert all(f">{name}</a>" in asked.content.decode() for name in "CDE")
    confirm(browser, deletions)
    carry_on_batches()
    assert [chosen(one) for one in mixed] == ["", "", "keep_monday", "keep_monday", "keep_monday"]


@pytest.mark.parametrize(("act", "choose"), [("create_item", "npd"), ("delete_record", "monday"), ("unlink", "custom")])
def test_what_is_gone_is_created_again_deleted_or_unlinked_in_bulk_from_the_list(
    browser: Client, mixed: list[Contact], act: str, choose: str
) -> None:
    ticked = [str(SyncConflict.objects.get(entity_id=one.pk).pk) for one in mixed[1:]]
    browser.post(f"{LIST}?state=open", {"action": act, "_selected_action": ticked}, follow=True)
    batch = ConflictBatch.objects.get()
    assert (batch.resolution_type, batch.total, outcomes(batch)["B"]) == (act, 3, "left_out")
    confirm(browser, batch)
    carry_on_batches()
    picked = [SyncConflict.objects.get(entity_id=one.pk).stored_resolution.fields for one in mixed]
    assert [one["record"].choose if one else "" for one in picked] == ["", "", choose, choose, choose]
    batch.refresh_from_db()
    with pytest.raises(InvalidResolution):
        bulk_resolution.request_undo(batch, by=User.objects.get(username="ada"))


def test_a_plan_counts_deletions_and_takes_an_act_alone(ada: User, mixed: list[Contact]) -> None:
    def planned(resolution_type: str) -> tuple[int, ...]:
        found = SyncConflict.objects.filter(resolved_at=None)
        batch = bulk_resolution.prepare_batch(found, resolution_type, by=ada)
        names = ("npd", "npd_deleted", "npd_created", "monday_deleted", "monday_created", "unlinked")
        return (batch.total, *(batch.plan.get(name, 0) for name in names))

    assert planned("keep_monday") == (5, 2, 3, 0, 0, 0, 0)
    assert planned("keep_npd") == (5, 0, 0, 0, 0, 3, 0)
    assert planned("delete_record") == (3, 0, 3, 0, 0, 0, 0)
    assert planned("unlink") == (3, 0, 0, 0, 0, 0, 3)


def test_what_somebody_has_chosen_for_already_is_not_among_them(
    browser: Client, contacts: list[Contact], ada: User
) -> None:
    first = SyncConflict.objects.get(entity_id=contacts[0].pk)
    resolve(first.pk, by=ada, resolution_type="keep_monday", seen=seen(PHONE))
    batch, _ = prepare(browser, query="field=phone")
    assert set(outcomes(batch)) == {"B"}


def test_yes_is_carried_out_by_a_worker_and_leaves_a_line_in_the_log(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = prepare(browser)
    assert "0 of 3 resolved, 3 to go" in text_of(confirm(browser, batch))
    carry_on_batches()
    assert [chosen(contact) for contact in contacts] == ["keep_npd", "keep_npd", "keep_npd", ""]
    batch.refresh_from_db()
    assert batch.state == "done"
    assert address(batch) in browser.get(LIST).content.decode()
    assert LogEntry.objects.filter(change_message__contains="Use NPD in 3 conflicts").count() == 1
    assert LogEntry.objects.filter(change_message__contains="Chose “+44 20 7946 0812” for Phone").count() == 2
    assert "confirmed before" in text_of(confirm(browser, batch))
    browser.post(address(batch), {"stop": "1"})  # when there is nothing to stop
    batch.refresh_from_db()
    assert batch.state == "done"


def test_what_changed_since_the_page_comes_back_with_the_reason(
    browser: Client, contacts: list[Contact], ada: User
) -> None:
    batch, _ = prepare(browser, "keep_monday", "field=phone")
    record(finding(contacts[0], replace(PHONE, npd="+44 20 7946 0001")))
    confirm(browser, batch)
    carry_on_batches()
    assert outcomes(batch) == {"A": "handed_back", "B": "stored"}
    assert not SyncConflict.objects.get(entity_id=contacts[0].pk).is_being_applied


def test_another_number_than_the_one_shown_confirms_nothing(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = prepare(browser)
    for number in (2, "nonsense"):
        assert "The number is not the one shown" in text_of(confirm(browser, batch, number))
    carry_on_batches()
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def test_nobody_confirms_what_another_was_shown(browser: Client, client: Client, contacts: list[Contact]) -> None:
    batch, _ = prepare(browser)
    client.force_login(staff_who_may("view_syncconflict", "change_syncconflict"))
    assert "Somebody else prepared this." in text_of(confirm(client, batch))
    batch.refresh_from_db()
    assert batch.state == "prepared"


def test_who_may_only_look_has_no_such_button_and_no_such_page(
    client: Client, contacts: list[Contact], ada: User
) -> None:
    batch = bulk_resolution.prepare_batch(SyncConflict.objects.all(), "keep_npd", by=ada)
    client.force_login(staff_who_may("view_syncconflict"))
    assert "keep_npd" not in client.get(LIST).content.decode()
    assert client.post(f"{LIST}all/keep_npd/").status_code == 403
    client.post(LIST, {"action": "keep_npd", "_selected_action": [str(batch.entries.earliest("id").conflict_id)]})
    assert ConflictBatch.objects.count() == 1
    assert client.post(address(batch), {"confirm": "1", "expect": batch.total}).status_code == 403
    bulk_resolution.confirm_batch(batch, by=ada, expected_count=batch.total)
    assert "Stop here" not in text_of(client.get(address(batch)))
    assert client.post(address(batch), {"stop": "1"}).status_code == 403


def test_a_conflict_on_which_npd_fails_holds_up_no_other(
    browser: Client, contacts: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, _ = prepare(browser)
    confirm(browser, batch)
    whole, failing = resolution.resolve, [True]

    def resolve(*args: Any, **more: Any) -> Any:
        if failing and failing.pop():
            raise RuntimeError("what nobody thought of")
        return whole(*args, **more)

    monkeypatch.setattr(bulk_resolution, "resolve", resolve)
    carry_on_batches()
    assert sorted(outcomes(batch).values()) == ["handed_back", "left_out", "stored", "stored"]
    batch.refresh_from_db()
    assert batch.state == "done"
    assert "RuntimeError" in batch.entries.get(outcome="handed_back").reason


def test_an_account_that_is_gone_chooses_nothing_any_more(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = prepare(browser)
    confirm(browser, batch)
    ConflictBatch.objects.update(by=None)
    carry_on_batches()
    assert set(outcomes(batch).values()) == {"handed_back", "left_out"}


def test_what_nobody_confirms_is_forgotten_and_so_is_what_was_carried_out_long_ago(
    browser: Client, contacts: list[Contact]
) -> None:
    shown, _ = prepare(browser)
    running, _ = prepare(browser)
    confirm(browser, running)
    ConflictBatch.objects.update(made_at="2020-01-01T00:00:00Z")
    prepare(browser)
    assert not ConflictBatch.objects.filter(pk=shown.pk).exists()
    assert ConflictBatch.objects.filter(pk=running.pk).exists()
    carry_on_batches()
    prepare(browser)
    assert not ConflictBatch.objects.filter(pk=running.pk).exists()


def test_the_pages_of_many_ask_few_questions_and_show_all_of_them_by_page(
    browser: Client, django_assert_max_num_queries: Any
) -> None:
    made = Contact.objects.bulk_create(Contact(name=f"c{n}", monday_id=f"1{n}") for n in range(60))
    record(*(finding(contact, PHONE) for contact in made))
    batch, answer = prepare(browser)
    screens, url = answer.content.decode(), address(batch)
    with django_assert_max_num_queries(15):
        screens += browser.get(f"{url}?p=2").content.decode()
    listed = [screen(conflict_of(one)) in screens for one in Contact.objects.order_by("monday_id")]
    assert listed == [True] * 60
    plain = re.sub("</?ins>", "", screens)
    assert (plain.count(str(PHONE.npd)), plain.count(str(PHONE.monday))) == (60, 60)
    confirm(browser, batch)
    with django_assert_max_num_queries(15):
        browser.get(address(batch))
    with django_assert_max_num_queries(6):
        browser.get(f"{address(batch)}progress/")


def test_a_conflict_that_ended_by_itself_is_not_counted_as_resolved(browser: Client, contacts: list[Contact]) -> None:
    batch = carried_out(browser, query="field=phone")
    record(finding(contacts[0], applied={"phone": PHONE.npd}), finding(contacts[1], closing_reason="Both agree."))
    assert bulk_resolution.status_counts(batch) == {"settled": 1, "overtaken": 1}


@pytest.mark.django_db(transaction=True)
class TestUndo:
    """With real looks: what was settled at once is undone at once."""

    def settled(self, world: World, browser: Client) -> tuple[list[Contact], ConflictBatch]:
        made = [world.contact(f"c{n}", role_title="Old") for n in range(3)]
        world.work()
        for contact in made:
            world.edit(contact, "role_title", "Monday's")
        Contact.objects.update(role_title="NPD's")
        world.work()
        batch = carried_out(browser, "keep_monday")
        world.work()
        assert {contact.role_title for contact in Contact.objects.all()} == {"Monday's"}
        return made, batch

    def undo(self, world: World, browser: Client, batch: ConflictBatch) -> str:
        browser.post(address(batch), {"undo": "1"})  # nothing where it is asked for already
        carry_on_batches()
        world.work()
        carry_on_batches()
        return text_of(browser.get(address(batch)))

    def test_one_button_undoes_all_of_it(self, world: World, browser: Client) -> None:
        made, batch = self.settled(world, browser)
        page = self.undo(world, browser, batch)
        assert "3 of 3 undone" in page
        assert SyncConflict.objects.filter(resolved_at=None).count() == 3
        assert {contact.role_title for contact in Contact.objects.all()} == {"NPD's"}
        assert {world.values(contact)["role_title"] for contact in made} == {"Monday's"}
        assert LogEntry.objects.filter(change_message__contains="Undo of 3 conflicts").exists()
        assert "Nothing of it is left" in text_of(browser.post(address(batch), {"undo": "1"}, follow=True))

    def test_what_was_settled_otherwise_or_moved_since_is_left_alone(
        self, world: World, browser: Client, ada: User
    ) -> None:
        made, batch = self.settled(world, browser)
        conflict = SyncConflict.objects.get(entity_id=made[0].pk)
        undo(conflict.pk, by=ada)
        world.work()
        now = {"role_title": {"npd": "NPD's", "monday": "Monday's"}}
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=now)
        Contact.objects.filter(pk=made[1].pk).update(role_title="Later")
        world.work()
        page = self.undo(world, browser, batch)
        assert "Undone, open again 1 Not undone 2" in page
        assert world.values(made[0])["role_title"] == "NPD's"
        made[1].refresh_from_db()
        assert made[1].role_title == "Later"
        assert SyncConflict.objects.get(kind="overwritten").entity_id == made[1].pk


def half_stored(browser: Client, monkeypatch: pytest.MonkeyPatch) -> ConflictBatch:
    """A batch whose worker ended after the first of three."""
    batch, _ = prepare(browser)
    confirm(browser, batch)
    asked = iter([False, True])
    with monkeypatch.context() as ending:
        ending.setattr(process, "is_shutting_down", lambda: next(asked))
        carry_on_batches()
    return batch


def test_a_worker_that_ends_in_the_middle_leaves_the_rest_to_the_next(
    browser: Client, contacts: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = half_stored(browser, monkeypatch)
    assert sorted(outcomes(batch).values()) == ["left_out", "ready", "ready", "stored"]
    carry_on_batches()
    assert sorted(outcomes(batch).values()) == ["left_out", "stored", "stored", "stored"]


class TestStop:
    """Thousands that turn out to be a mistake are stopped in the middle."""

    def stop(self, browser: Client, batch: ConflictBatch) -> str:
        return text_of(browser.post(address(batch), {"stop": "1"}, follow=True))

    def test_what_is_stored_stays_and_the_rest_is_left_open_and_said_so(
        self, browser: Client, contacts: list[Contact], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch = half_stored(browser, monkeypatch)
        assert "Stopped. 2 conflicts are left as they were" in self.stop(browser, batch)
        carry_on_batches()
        assert [chosen(contact) for contact in contacts] == ["keep_npd", "", "", ""]
        batch.refresh_from_db()
        assert batch.state == "done"
        assert LogEntry.objects.filter(change_message__contains="Stopped: 2 conflicts left as they are").exists()

    def test_an_undo_that_is_stopped_leaves_the_rest_settled_and_may_be_asked_for_again(
        self, browser: Client, contacts: list[Contact]
    ) -> None:
        batch = carried_out(browser)
        browser.post(address(batch), {"undo": "1"})
        assert "Stopped. 3 conflicts are left as they were" in self.stop(browser, batch)
        carry_on_batches()
        batch.refresh_from_db()
        assert (batch.state, set(batch.entries.values_list("outcome", flat=True))) == ("undone", {"stored", "left_out"})
        assert "Undo all of it: 3 conflicts" in text_of(browser.get(address(batch)))


def test_a_second_worker_leaves_a_batch_to_the_first(browser: Client, contacts: list[Contact]) -> None:
    batch, _ = prepare(browser)
    confirm(browser, batch)
    first = connection.copy()
    try:
        with first.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [bulk_resolution.BATCH_LOCK])
        carry_on_batches()
        assert sorted(outcomes(batch).values()) == ["left_out", "ready", "ready", "ready"]
        # A closed connection's locks may stay for a moment: its server notices later.
        with first.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [bulk_resolution.BATCH_LOCK])
    finally:
        first.close()
    carry_on_batches()
    assert sorted(outcomes(batch).values()) == ["left_out", "stored", "stored", "stored"]


def test_an_undo_that_waits_for_looks_asks_nothing_of_its_rows(
    browser: Client, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Contact.objects.bulk_create(Contact(name=f"c{n}", monday_id=f"1{n}") for n in range(9))
    record(*(finding(contact, PHONE) for contact in made))
    batch = carried_out(browser)
    batch.refresh_from_db()
    assert bulk_resolution.request_undo(batch, by=ada) == 9
    woken: list[None] = []
    monkeypatch.setattr(bulk_resolution, "notify_batch_worker", lambda: woken.append(None))

    def queries(seconds: float) -> int:
        with CaptureQueriesContext(connection) as found:
            assert bulk_resolution.work_batches(seconds) == 0
        return len(found)

    assert queries(60) <= 4  # the batches, their rows that can get on, and whether any is left
    assert queries(-1) <= 4
    assert woken == []
    SyncConflict.objects.update(resolution=None)  # as a look that hands back what was chosen
    assert bulk_resolution.work_batches() == 9


def test_an_undo_that_waited_for_its_pass_goes_on_once_that_has_applied_it(
    browser: Client, ada: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    contact = Contact.objects.create(name="c", monday_id="1")
    record(finding(contact, PHONE))
    batch = carried_out(browser)
    bulk_resolution.request_undo(batch, by=ada)
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: sent.append(name))
    with django_capture_on_commit_callbacks(execute=True):
        record(finding(contact, applied={PHONE.key: PHONE.npd}))
    assert sent.count("conflicts.carry_on_batches") == 1
