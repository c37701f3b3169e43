"""What README says can be tried is still there an hour later, whatever of README's commands was typed."""

import contextlib
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from conflicts.models import SyncConflict
from npd.demo.showcase import demo_people
from npd.models import Contact
from sync import registry
from sync.boards.board_listing import enqueue_unmatched
from sync.choices import QueueStatus, RecordSyncStatus
from sync.clock import CREATE_SYNC_NOW
from sync.ledger import SyncStateService
from sync.models import SyncQueue
from sync.queue import SyncQueueService
from tests.demo.conftest import Played

pytestmark = pytest.mark.django_db
STRANGER = "Somebody met at the fair"


def test_what_is_prepared_stays_until_somebody_acts(played: Played) -> None:
    an_hour_passes(played)
    for command in ("sync_reconcile", "sync_drain", "demo"):
        with contextlib.suppress(CommandError):  # sync_reconcile says that one record can't be sent
            call_command(command, stdout=StringIO())
    failed = SyncQueue.objects.filter(status=QueueStatus.FAILED)
    assert set(failed.values_list("entity_id", flat=True)) == {demo_people().failed}
    assert SyncConflict.objects.get(resolved_at=None).entity_id == demo_people().conflict
    assert set(SyncStateService().describe(Contact.objects.get(pk=demo_people().held)).blocked_fields) == {"email"}
    assert Contact.objects.get(pk=demo_people().disabled).sync_status == RecordSyncStatus.DISABLED
    assert not Contact.objects.filter(name=STRANGER).exists()
    assert "email" in strangers_row().reason

    a_person_acts(played)
    assert Contact.objects.get(pk=demo_people().failed).sync_status == RecordSyncStatus.SYNCED
    assert not failed.exists()
    assert Contact.objects.get(name=STRANGER).email == "fair@example.com"


def an_hour_passes(played: Played) -> None:
    """On both clocks; the test's transaction, which is taken back, has the database's."""
    with connection.cursor() as cursor:
        moved = "clock_timestamp() + interval ''1 hour''"
        cursor.execute(CREATE_SYNC_NOW.replace("clock_timestamp()", moved))
    played.sandbox.control("clock", offset_seconds=3_600)


def strangers_row() -> SyncQueue:
    """What stands under “New items” on the first page."""
    return SyncQueue.objects.get(entity_id=None, status=QueueStatus.PENDING)


def a_person_acts(played: Played) -> None:
    """“No more faults” on the board page, Retry in the queue, an e-mail on the board; its webhook wakes the item."""
    played.sandbox.control("faults", "DELETE")
    SyncQueueService().retry_all(SyncQueue.objects.filter(status=QueueStatus.FAILED), by="admin")
    item = played.sandbox.item_named(STRANGER)
    played.sandbox.act("edit", item_id=item["id"], column_id="email", text="fair@example.com")
    enqueue_unmatched(registry.entity("contact"), [item["id"]])
    call_command("sync_drain", stdout=StringIO())
