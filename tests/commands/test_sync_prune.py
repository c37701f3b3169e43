"""What is forgotten after its time, and what never is."""

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pghistory.models
import pytest
from django.core.cache import cache

from npd.models import Contact, ContactEvent  # type: ignore[attr-defined]
from sync import attention
from sync.choices import CallKind
from sync.clock import sync_now
from sync.limits import breaker
from sync.models import ActivityLine, BoardLink, CacheEntry, IgnoredItem, SyncQueue, Tombstone, WebhookEvent
from sync.monday import errors
from sync.operations import retention
from tests.admin import states
from tests.support.clock import move_clock, reset_clock
from tests.support.words import said

pytestmark = pytest.mark.django_db(transaction=True)

Run = Callable[..., str]
Later = Callable[[int], None]


@pytest.fixture
def later(transactional_db: None) -> Iterator[Callable[[int], None]]:
    yield lambda days: move_clock(timedelta(days=days))
    reset_clock()


def delivery(**values: Any) -> WebhookEvent:
    return WebhookEvent.objects.create(trigger_id=uuid.uuid4().hex, board_id="1", type="update_name", body={}, **values)


@pytest.mark.parametrize("days", [0, -1])
def test_what_is_to_be_kept_for_no_days_is_kept_for_ever(later: Later, run: Run, settings: Any, days: int) -> None:
    contact = Contact.objects.create(name="Ann", role_title="Boss")
    ActivityLine.objects.create(entity_type="contact", entity_id=contact.pk, kind="edit", sentence=said("It was made."))
    SyncQueue.objects.update(status="completed", finished_at=sync_now())
    delivery(processed_at=sync_now())
    settings.HISTORY_DAYS = settings.QUEUE_DAYS = days
    numbers = [model.objects.count() for model in (ActivityLine, SyncQueue, ContactEvent)]
    later(400)
    assert "Deliveries" in run("sync_prune")
    assert [model.objects.count() for model in (ActivityLine, SyncQueue, ContactEvent)] == numbers


def test_a_refusal_is_forgotten_a_day_after_its_time_if_nothing_was_sent_since(later: Later, run: Run) -> None:
    link = BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="id")
    breaker.stop_board(link, errors.MondayError(errors.BOARD_FULL, "Full."), CallKind.CREATE)
    later(1)
    run("sync_prune")
    assert attention.counts()[attention.Kind.BOARD] == 1, "its next attempt was due less than a day ago"
    move_clock(timedelta(days=1, minutes=2))
    run("sync_prune")
    assert (attention.counts()[attention.Kind.BOARD], BoardLink.objects.get().stops) == (0, {})


def test_of_what_is_old_only_that_goes_which_nothing_needs_any_more(later: Later, run: Run) -> None:
    contact = Contact.objects.create(name="Ann")
    needed: list[Any] = [
        states.intent(contact, state="open", idempotency_key="one"),
        states.intent(contact, state="applied", idempotency_key="one"),  # sent with an open one
        lost := states.intent(
            contact, state="void", was_searched=True, settled_at=sync_now()
        ),  # its record lacks an item
        delivery(),  # nobody has weighed it
        SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status="failed"),
        SyncQueue.objects.get(entity_id=contact.pk),
        *(states.approval(contact, "clear_npd", state, key=state) for state in ("pending", "rejected")),
        Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), state="waiting"),
    ]
    old: list[Any] = [
        states.intent(contact, state="applied", idempotency_key="other"),
        delivery(processed_at=sync_now()),
        SyncQueue.objects.create(
            entity_type="contact", entity_id=uuid.uuid4(), status="completed", finished_at=sync_now()
        ),
        *(states.approval(contact, "clear_npd", state, key=state) for state in ("done", "released")),
        ActivityLine.objects.create(entity_type="contact", kind="edit", sentence=said("It was made.")),
        Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), state="nothing_left"),
        Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), state="kept", monday_id="88"),
    ]

    def remaining(rows: list[Any]) -> list[Any]:
        return [row for row in rows if type(row).objects.filter(pk=row.pk).exists()]

    later(400)
    assert remaining(old) == old
    run("sync_prune")
    assert (remaining(needed), remaining(old)) == (needed, [])
    assert IgnoredItem.objects.get().item_id == "88"  # the item that stayed becomes no new record
    Contact.objects.filter(pk=contact.pk).update(monday_id="77")
    run("sync_prune")
    assert remaining([lost]) == []


def test_a_file_whose_import_nobody_confirmed_is_forgotten(run: Run) -> None:
    cache.set("unconfirmed", b"Ann", timeout=-2 * 24 * 60 * 60)
    cache.set("chosen", b"Bob", timeout=60 * 60)
    run("sync_prune")
    assert [entry.cache_key for entry in CacheEntry.objects.all()] == [cache.make_key("chosen")]


def test_a_records_newest_old_change_is_kept(later: Later, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    contact, gone = (Contact.objects.create(name=name, role_title="0") for name in ("Ann", "Gone"))
    for number in range(1, 6):
        Contact.objects.filter(pk=contact.pk).update(role_title=str(number))
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=gone.pk).update(role_title="x")
    Contact.objects.filter(pk=gone.pk).delete()
    later(400)
    run("sync_prune")
    assert [event.role_title for event in ContactEvent.objects.filter(pgh_obj_id=contact.pk)] == ["5"]
    assert not ContactEvent.objects.filter(pgh_obj_id=gone.pk).exists()
    assert not pghistory.models.Context.objects.filter(metadata__cause="import").exists()
