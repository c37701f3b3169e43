"""What others do to the board, the account and the queue while an import is at work, and what Monday leaves out."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.models import F

from npd.models import Contact
from sync.boards.board_listing import item_pages
from sync.connectors.base.conversion import ConverterOptions
from sync.connectors.base.errors import MinuteLimitReached, UploadRejected
from sync.connectors.monday import bulk_import
from sync.connectors.monday.columns import make_converter
from sync.limits import breaker
from sync.models import Backfill, BackfillState, SyncQueue
from sync.operations.backfill import deferral, file_rows, run_backfill
from sync.operations.backfill.deferral import needs_board
from sync.outbox import pauses
from tests.backfill.conftest import Import

COUNTED = {*("sync_api_budget", "sync_api_usage", "sync_api_reservations", "sync_monday_account")} | {
    "sync_metric_counts",
    "sync_hour_counts",
}
"""Tables in which calls are counted, whoever makes them."""


def test_a_stale_listing_after_the_import_is_read_once_more_before_anything_is_made_anew(
    bulk: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    bulk.contacts(5)
    real, listings = item_pages, []

    def stale(*args: Any) -> Iterator[Any]:
        listings.append(1)
        for items in real(*args):
            yield items[:3] if len(listings) == 1 else items

    monkeypatch.setattr("sync.operations.backfill.item_pages", stale)
    done = bulk.run()
    assert (len(listings), done[0].counts["linked"]) == (2, 5)
    assert Contact.objects.filter(sync_status="synced").count() == len(bulk.on_board()) == 5


def test_an_item_that_somebody_gave_the_npd_id_before_the_import_overwrites_nothing(bulk: Import) -> None:
    contact = bulk.contacts(2)[0]
    seen = bulk.preview()
    values = {"npd_id": str(contact.pk), "email": {"email": "other@example.com", "text": "other@example.com"}}
    bulk.world.add("By hand", **values)
    run_backfill(seen, by="tester", wait=bulk.wait)
    bulk.world.work(contact)
    assert (contact.name, contact.email, contact.notes) == ("Person 0", "person0@example.com", "n0")
    assert set(bulk.world.ledger(contact).conflicts["fields"]) == {"name", "email"}
    assert bulk.world.values(contact)["notes"] == "n0"


def test_a_value_that_is_missing_after_the_import_is_sent_again_and_not_cleared_in_npd(bulk: Import) -> None:
    contact = bulk.contacts(2)[0]

    def loses_the_notes() -> None:
        for item in bulk.world.sandbox.items():
            bulk.world.sandbox.act("edit", item_id=item["id"], column_id="notes", value=None)

    bulk.meanwhile(loses_the_notes)
    bulk.run()
    bulk.world.work()
    assert bulk.world.status(contact) == "synced"
    assert (contact.notes, bulk.world.values(contact)["notes"]) == ("n0", "n0")


def test_rows_of_a_later_file_are_not_created_one_by_one_by_the_workers(
    bulk: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.operations.backfill.ROWS_PER_JOB", 4)
    bulk.contacts(8)
    bulk.meanwhile(lambda: bulk.world.work() and None, once=False)
    assert [backfill.rows for backfill in bulk.run()] == [4, 4]
    assert not SyncQueue.objects.exclude(status="completed").exists()


def test_a_save_of_a_record_that_waits_for_its_file_is_not_held_up(
    bulk: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.operations.backfill.ROWS_PER_JOB", 2)
    contacts = bulk.contacts(4)

    def saves() -> None:
        Contact.objects.filter(pk=contacts[3].pk).update(notes="edited")
        bulk.world.work()
        assert bulk.world.values(contacts[3])["notes"] == "edited"

    bulk.meanwhile(saves)
    bulk.run()
    assert len(bulk.on_board()) == len(set(bulk.on_board())) == 4


def test_records_of_one_key_are_asked_about_though_a_worker_comes_by_before_the_item_is_there(bulk: Import) -> None:
    for name in ("One", "Two"):
        bulk.world.contact(name, email="info@example.com")
    bulk.world.sandbox.control("ingest", hold="upload")

    def comes_by() -> None:
        bulk.world.work()
        bulk.world.sandbox.control("ingest")

    bulk.meanwhile(comes_by)
    bulk.run()
    bulk.world.work()
    assert bulk.on_board() == ["One"]
    assert Contact.objects.get(name="Two").sync_status == "conflict"


def test_a_pause_of_the_account_holds_an_import_too(bulk: Import) -> None:
    bulk.contacts(2)
    seen = bulk.preview()
    breaker.trip_account(MinuteLimitReached("Slow down", wait_seconds=50))
    before, calls = bulk.world.calls(), []
    bulk.meanwhile(lambda: calls.append(bulk.world.calls() - before), once=False)
    run_backfill(seen, by="tester", wait=bulk.wait)
    assert calls[:3] == [0, 0, 0]  # 50 seconds, in pieces of 20
    assert len(bulk.on_board()) == 2


def test_a_pause_while_the_file_is_made_keeps_it_from_being_sent(bulk: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk.contacts(2)
    make, boards = file_rows.build_file, []

    def paused_meanwhile(*args: Any) -> Any:
        monkeypatch.setattr("sync.operations.backfill.build_file", make)
        pauses.pause("mary", direction="to_monday")
        return make(*args)

    def resumes() -> None:
        boards.append(bulk.on_board())
        pauses.resume("mary", direction="to_monday")

    monkeypatch.setattr("sync.operations.backfill.build_file", paused_meanwhile)
    bulk.meanwhile(resumes)
    bulk.run()
    assert boards == [[]]
    assert len(bulk.on_board()) == 2


def test_an_outage_that_an_import_meets_pauses_everybody_until_a_probe_is_answered(bulk: Import) -> None:
    bulk.contacts(2)
    seen = bulk.preview()
    bulk.world.sandbox.faults({"status": 500, "on": "ingest_items"})
    paused: list[bool] = []
    bulk.meanwhile(lambda: paused.append(breaker.monday_account().needs_probe))
    run_backfill(seen, by="tester", wait=bulk.wait)
    assert paused == [True]
    assert not breaker.monday_account().needs_probe
    assert len(bulk.on_board()) == 2


def test_an_import_that_has_to_wait_leaves_the_board_to_the_workers(bulk: Import) -> None:
    for state in (BackfillState.STARTED, BackfillState.LISTED):
        backfill = Backfill.objects.create(entity_type="contact", board_id="1", state=state)
        assert needs_board("contact")
        Backfill.objects.update(look_at=deferral.seconds_from_now(3_000))
        assert not needs_board("contact")
        backfill.delete()


def test_a_job_without_an_end_is_asked_about_less_and_less(bulk: Import) -> None:
    asked = []
    for minutes in (0, 5, 61):
        backfill = Backfill(job_at=deferral.seconds_from_now(-60 * minutes), polls=minutes)
        asked.append(deferral.next_poll_seconds(backfill))
    assert asked == [20, 60, 600]


def test_a_new_item_is_not_held_up_for_hours_by_an_import_that_waits(bulk: Import) -> None:
    Backfill.objects.create(entity_type="contact", board_id=bulk.world.board_id())  # no file was sent yet
    Backfill.objects.update(look_at=deferral.seconds_from_now(3_000))
    item = {"email": {"email": "hand@example.com", "text": "hand@example.com"}}
    bulk.world.add("By hand", **item)
    bulk.world.hear(seconds=15)
    assert Contact.objects.get(email="hand@example.com").monday_id


def test_an_import_that_ends_lets_only_the_jobs_go_that_it_deferred(bulk: Import) -> None:
    mine, others = bulk.contacts(2)
    with deferral.DeferredJobs("contact", [others.pk]):
        with deferral.DeferredJobs("contact", [mine.pk]):
            assert bulk.world.work().claimed == 0
        waiting = SyncQueue.objects.filter(deferred_until=F("next_retry"))
        assert set(waiting.values_list("entity_id", flat=True)) == {others.pk}


def test_a_dry_run_writes_nothing_but_what_its_calls_cost(bulk: Import, capsys: Any) -> None:
    bulk.contacts(3)
    bulk.world.contact("Odd", notes=" <null> ")
    before = everything()
    call_command("sync_backfill", "--dry-run")
    assert {table for table, rows in everything().items() if rows != before[table]} <= COUNTED
    assert "3 to create in bulk" in capsys.readouterr().out


def everything() -> dict[str, Any]:
    """A digest of every table."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{table}\" t")
            found[table] = cursor.fetchone()
    return found


def test_an_interrupted_command_says_how_to_go_on(bulk: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk.contacts(1)

    def interrupts(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sync.management.commands.sync_backfill.time.sleep", interrupts)
    with pytest.raises(CommandError, match=r"Interrupted. Then take it up with `manage.py sync_backfill --resume`"):
        call_command("sync_backfill", "contact", "--yes")


def test_labels_that_were_sent_are_a_base_that_can_be_read() -> None:
    labels = make_converter("dropdown", ConverterOptions(settings={"labels": [{"id": 1, "name": "Red"}]}))
    sent = labels.to_remote({"f": ["Red"]}, None)
    assert labels.remote(labels.sent_as_stored(sent)) == labels.local({"f": ["Red"]}) == ("Red",)


@pytest.mark.parametrize(("rows", "hours"), [([10_000], 0), ([9_000, 9_000], 0), ([10_000] * 3, 2)])
def test_the_hours_that_large_imports_wait_are_counted_file_by_file(rows: list[int], hours: int) -> None:
    assert deferral.hours_to_wait(rows) == hours


def test_a_store_that_says_it_made_the_file_has_taken_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_import, "_exchange", lambda *args: (201, b""))
    bulk_import.upload_file("http://store.invalid", b"name\r\n")
    monkeypatch.setattr(bulk_import, "_exchange", lambda *args: (307, b""))
    with pytest.raises(UploadRejected):
        bulk_import.upload_file("http://store.invalid", b"name\r\n")
