"""An undisturbed backfill: many records, few calls, and nothing that looks different afterwards."""

import pytest

from npd.models import Contact
from sync.models import Decision, Intent, SyncMetadata, SyncQueue
from sync.operations import backfill
from sync.operations.backfill import deferral, run_backfill
from sync.operations.worker import remaining_lines
from tests.backfill.conftest import Import


def test_every_record_gets_its_item_and_nothing_is_called_or_rewritten_afterwards(bulk: Import) -> None:
    contact, *_ = bulk.contacts(20)
    done = bulk.run()
    assert [backfill.state for backfill in done] == ["done"]
    assert (done[0].counts["created"], done[0].counts["linked"]) == (20, 20)
    assert len(bulk.on_board()) == len(set(bulk.on_board())) == 20
    assert Contact.objects.filter(sync_status="synced").exclude(monday_id=None).count() == 20
    assert not SyncQueue.objects.exclude(status="completed").exists()
    assert set(Intent.objects.values_list("state", flat=True)) == {"landed"}
    assert not Intent.objects.filter(item_id="").exists()
    assert Decision.objects.filter(entity_id=contact.pk, kind="create").count() == 1
    assert SyncMetadata.objects.get(entity_id=str(contact.pk)).remote_state == "active"
    before = bulk.world.calls("mutation")
    bulk.world.deliver()
    bulk.world.pass_time(seconds=20)
    reads = bulk.world.calls()
    bulk.world.work()
    assert bulk.world.calls() == reads  # its own webhooks are known as echoes
    bulk.world.look(contact)
    assert bulk.world.calls("mutation") == before
    assert bulk.world.status(contact) == "synced"


def test_more_records_than_a_page_holds_take_few_calls(bulk: Import) -> None:
    bulk.contacts(510)
    before = bulk.world.calls()
    bulk.run()
    assert bulk.world.calls() - before <= 10
    assert Contact.objects.filter(sync_status="synced").count() == 510


def test_the_values_on_the_board_are_those_that_a_create_writes(bulk: Import) -> None:
    values = {
        "email": "Ann.O'Neil@Example.COM",
        "phone": "(202) 555-0169",
        "role_title": 'Head of "R, D"',
        "notes": 'one\ntwo, three\n"four"',
    }
    one = bulk.world.contact("Ann, the first", **values)
    bulk.run()
    two = bulk.world.contact("Ann, the first", **values | {"email": "ann2@example.com"})
    bulk.world.work()
    first, second = bulk.world.values(one), bulk.world.values(two)
    assert {k: v for k, v in first.items() if k not in ("npd_id", "email")} == {
        k: v for k, v in second.items() if k not in ("npd_id", "email")
    }
    assert first["email"] == "Ann.O'Neil@Example.COM"
    assert bulk.world.status(one) == "synced"


def test_the_base_is_what_was_sent_so_a_later_edit_on_the_board_is_taken_over(bulk: Import) -> None:
    contact = bulk.world.contact("Ann", email="ann@example.com", role_title="Boss")
    bulk.run()
    bulk.world.edit(contact, "role_title", "Chair")
    bulk.world.look(contact)
    contact.refresh_from_db()
    assert (contact.role_title, contact.sync_status) == ("Chair", "synced")


def test_a_record_that_changed_while_monday_worked_is_pushed_and_no_conflict(bulk: Import) -> None:
    contact = bulk.contacts(3)[1]
    bulk.world.sandbox.control("ingest", hold="processing")

    def edit() -> None:
        bulk.world.save(contact, notes="edited meanwhile")  # a worker comes by: it makes no second item
        bulk.world.sandbox.control("ingest")

    bulk.meanwhile(edit)
    bulk.run()
    bulk.world.work()
    assert bulk.world.status(contact) == "synced"
    assert bulk.world.values(contact)["notes"] == "edited meanwhile"
    assert len(bulk.on_board()) == 3
    assert not bulk.world.ledger(contact).conflicts


def test_an_item_that_somebody_edited_before_it_was_linked_is_pulled(bulk: Import) -> None:
    contact = bulk.contacts(1)[0]

    def edit() -> None:
        for item in bulk.world.sandbox.items():
            bulk.world.sandbox.act("edit", item_id=item["id"], column_id="notes", value="from the board")

    bulk.meanwhile(edit, once=False)
    bulk.run()
    bulk.world.work(contact)
    assert (contact.notes, contact.sync_status) == ("from the board", "synced")


def test_a_row_that_monday_refuses_is_created_with_that_field_held(bulk: Import) -> None:
    refused = bulk.world.contact("Ann", email='"odd one"@example.com', notes="n")
    bulk.contacts(4)
    done = bulk.run()
    assert (done[0].counts["invalid"], done[0].counts["linked"]) == (1, 4)
    assert Intent.objects.get(entity_id=refused.pk).answer == {"reason": "email is not valid"}
    bulk.world.work()
    assert "email" in bulk.world.ledger(refused).held
    assert (bulk.world.values(refused)["notes"], len(bulk.on_board())) == ("n", 5)


def test_a_field_that_is_too_long_is_held_and_its_record_is_created_in_bulk(bulk: Import) -> None:
    contact = bulk.world.contact("Ann", notes="x" * 2_500, role_title="Boss")
    done = bulk.run()
    assert done[0].counts["linked"] == 1
    assert "2,500" in bulk.world.ledger(contact).held["notes"]["reason"]
    assert (bulk.world.status(contact), bulk.world.values(contact)["role_title"]) == ("pending", "Boss")


def test_a_value_that_no_file_can_carry_goes_the_ordinary_way(bulk: Import) -> None:
    contact = bulk.world.contact("Ann", email="ann@example.com", notes="<NULL>")
    bulk.contacts(2)
    seen = bulk.preview()
    assert (len(seen.create.ids), seen.one_by_one.ids) == (2, [contact.pk])
    bulk.run()
    bulk.world.work()
    assert bulk.world.values(contact)["notes"] == "<NULL>"
    assert bulk.world.status(contact) == "synced"


def test_a_rejected_import_fails_with_its_reason_and_the_records_go_one_by_one(bulk: Import) -> None:
    contacts = bulk.contacts(3)
    seen = bulk.preview()
    board = int(bulk.world.board_id())
    bulk.world.sandbox.control("boards", board_id=board, items_limit=1)
    done = run_backfill(seen, by="tester", wait=bulk.wait)
    assert done[0].state == "failed"
    assert "holds 1 items at most" in done[0].problem
    bulk.world.sandbox.control("boards", board_id=board, items_limit=100)
    bulk.world.work()
    assert len(bulk.on_board()) == 3
    assert bulk.world.status(contacts[0]) == "synced"


def test_an_import_that_fails_half_way_is_finished_one_by_one(bulk: Import) -> None:
    bulk.contacts(255)
    bulk.world.sandbox.control("ingest", fail="INTERNAL_ERROR", fail_after=250)
    done = bulk.run()
    assert (done[0].state, done[0].counts["linked"]) == ("done", 250)
    assert "failed" in done[0].problem
    bulk.world.work()
    assert len(set(bulk.on_board())) == len(bulk.on_board()) == 255
    assert Contact.objects.filter(sync_status="synced").count() == 255


def test_more_records_than_a_file_holds_are_several_imports_within_the_hour_s_allowance(
    bulk: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferral, "ITEMS_PER_HOUR", 5)
    monkeypatch.setattr(backfill, "ROWS_PER_JOB", 4)
    bulk.contacts(10)
    assert [done.rows for done in bulk.run()] == [4, 4, 2]
    said = [words for _, words in bulk.waited if "an hour" in words]
    assert said[0] == "Monday takes 5 imported items an hour."
    assert len(set(bulk.on_board())) == len(bulk.on_board()) == 10


def test_a_record_that_was_switched_off_or_deleted_meanwhile_gets_no_item(bulk: Import) -> None:
    off, gone, stays = bulk.contacts(3)
    seen = bulk.preview()
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    gone.delete()
    run_backfill(seen, by="tester", wait=bulk.wait)
    assert bulk.on_board() == [stays.name]


def test_webhooks_of_imported_items_cost_no_calls_while_the_import_is_at_work(bulk: Import) -> None:
    bulk.contacts(30)
    looked: list[int] = []

    def meanwhile(seconds: float, words: str) -> None:
        Import.wait(bulk, seconds, words)
        bulk.world.deliver()
        bulk.world.pass_time(seconds=15)  # an item that nobody touches any more would be looked at now
        before = bulk.world.calls()
        bulk.world.work()
        looked.append(bulk.world.calls() - before)

    bulk.wait = meanwhile  # type: ignore[method-assign]
    before = bulk.world.calls()
    bulk.run()
    bulk.world.work()
    assert set(looked) == {0}
    assert bulk.world.calls() - before <= 6
    assert Contact.objects.filter(sync_status="synced").count() == 30
    assert not SyncQueue.objects.filter(status="pending").exists()


def test_an_item_that_a_person_adds_meanwhile_becomes_a_record_afterwards(bulk: Import) -> None:
    bulk.contacts(2)
    bulk.meanwhile(lambda: bulk.world.add("By hand", email="hand@example.com"))
    bulk.run()
    bulk.world.hear(seconds=15)
    assert Contact.objects.get(email="hand@example.com").monday_id
    assert Contact.objects.count() == len(bulk.on_board()) == 3


def test_what_is_left_in_the_queue_is_explained_by_the_backfill(bulk: Import) -> None:
    bulk.contacts(3)
    said: list[str] = []

    bulk.meanwhile(lambda: said.extend(remaining_lines()), once=False)
    bulk.run()
    assert "A backfill is putting 3 of them on the board" in said[0]
