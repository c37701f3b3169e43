"""`manage.py demo` on the real sandbox, over HTTP."""

import contextlib
import re
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import CommandError

from conflicts.models import SyncConflict
from npd.management.commands.demo import demo_people
from npd.models import Contact, Organization
from sync.choices import Cause, QueueStatus, RecordSyncStatus
from sync.models import BoardLink, Intent, SyncQueue
from sync.outbox import enqueue_unmatched
from sync.queue import retry_all
from sync.records.authors import last_npd_edits
from sync.registry import entities
from sync.state import record_view
from tests.demo.conftest import Played
from tests.support.clock import move_clock
from tests.support.people import signed_in

pytestmark = pytest.mark.django_db
STRANGER = "Somebody met at the fair"


def items(played: Played, entity_type: str) -> list[dict[str, Any]]:
    board_id = BoardLink.objects.get(entity_type=entity_type).board_id
    item_lists = [board["items"] for board in played.sandbox.boards() if board["id"] == board_id]
    return item_lists[0]


def test_every_record_is_linked_to_its_own_item_and_a_stranger_stands_beside_them(played: Played) -> None:
    for entity_type, model, count in (("contact", Contact, 500), ("organization", Organization, 100)):
        on_board = {item["values"]["npd_id"]: item["id"] for item in items(played, entity_type)}
        linked = {str(pk): monday_id for pk, monday_id in model.objects.values_list("pk", "monday_id")}
        assert (on_board.pop("", None) is not None) == (entity_type == "contact")
        assert (on_board, len(linked)) == (linked, count)


def test_the_values_that_it_wrote_are_its_own_and_no_import(played: Played) -> None:
    contact = Contact.objects.exclude(organization=None).latest("pk")
    edit = last_npd_edits(Contact, contact.pk, {"organization": ["organization"]})["organization"]
    assert (edit.who, edit.way) == ("the demo", "")


def test_all_but_the_things_to_try_is_in_sync_by_calls_of_a_hundred_records_that_wrote_nothing(played: Played) -> None:
    things = {demo_people()["conflict"], demo_people()["rejected"], demo_people()["disabled"], demo_people()["failed"]}
    for spec in entities():
        synced_records = spec.model.objects.exclude(pk__in=things)
        assert set(synced_records.values_list("sync_status", flat=True)) == {RecordSyncStatus.SYNCED}
    assert set(Intent.objects.values_list("entity_id", flat=True)) <= things
    looks = [call for call in played.calls if call["operation"] == "ReadItems"]
    # One pass links a hundred, the next compares them; a few more are for the things to try.
    assert 12 <= len(looks) <= 12 + 20


def test_a_second_run_changes_nothing(played: Played) -> None:
    def everything() -> list[Any]:
        rows = [SyncQueue, SyncConflict, Contact, get_user_model()]
        return [list(model.objects.order_by("pk").values()) for model in rows] + [played.sandbox.boards()]

    before = everything()
    assert played.command() == ""
    assert everything() == before


def test_try_prints_addresses_that_are_there(played: Played) -> None:
    lines = played.command("--try").splitlines()
    assert lines[0] == "Try:"
    client = signed_in(get_user_model().objects.get(username="admin"))
    addresses = [line.strip() for line in lines if "http://" in line]
    assert len(addresses) == 7
    for address in addresses:
        if address.startswith(played.sandbox.url):
            answer = played.sandbox.session.get(address, timeout=10)
            assert answer.status_code == 200, address
            # The board has 501 items, and shows fifty.
            focused = re.search(r'aria-label="Name of ([^"]*)" autofocus', answer.text)
            assert focused, address
            assert focused[1] in (Contact.objects.get(pk=demo_people()["first"]).name, STRANGER)
        else:
            path = re.sub(r"^http://[^/]+", "", address)
            assert client.get(path).status_code == 200, address


def test_a_real_monday_account_is_never_filled(settings: Any) -> None:
    settings.MONDAY_API_URL = "https://api.monday.com/v2"
    with pytest.raises(CommandError, match="never a real Monday account"):
        call_command("demo")


def test_what_is_prepared_stays_until_somebody_acts(spoiled: Played) -> None:
    played = spoiled
    an_hour_passes(played)
    for command in ("sync_reconcile", "sync_drain", "demo"):
        with contextlib.suppress(CommandError):  # sync_reconcile says that one record can't be sent
            call_command(command, stdout=StringIO())
    failed = SyncQueue.objects.filter(status=QueueStatus.FAILED)
    assert set(failed.values_list("entity_id", flat=True)) == {demo_people()["failed"]}
    assert SyncConflict.objects.get(resolved_at=None).entity_id == demo_people()["conflict"]
    assert set(record_view.view_of(Contact.objects.get(pk=demo_people()["rejected"])).sync_state.blocked_fields) == {
        "email"
    }
    assert Contact.objects.get(pk=demo_people()["disabled"]).sync_status == RecordSyncStatus.DISABLED
    assert not Contact.objects.filter(name=STRANGER).exists()
    assert "email" in strangers_row().reason

    a_person_acts(played)
    assert Contact.objects.get(pk=demo_people()["failed"]).sync_status == RecordSyncStatus.SYNCED
    assert not failed.exists()
    assert Contact.objects.get(name=STRANGER).email == "fair@example.com"


def an_hour_passes(played: Played) -> None:
    """Move both clocks; the test's rollback resets the database's."""
    move_clock(3_600)
    played.sandbox.control("clock", offset_seconds=3_600)


def strangers_row() -> SyncQueue:
    """The row under “New items” on the first page."""
    return SyncQueue.objects.get(entity_id=None, status=QueueStatus.PENDING)


def a_person_acts(played: Played) -> None:
    """Clear the faults, retry the queue, and enter an email on the board, whose webhook wakes the item."""
    played.sandbox.control("faults", "DELETE")
    retry_all(SyncQueue.objects.filter(status=QueueStatus.FAILED), by="admin")
    item = played.sandbox.item_named(STRANGER)
    played.sandbox.act("edit", item_id=item["id"], column_id="email", text="fair@example.com")
    enqueue_unmatched("contact", [item["id"]], cause=Cause.SWEEP)
    call_command("sync_drain", stdout=StringIO())
