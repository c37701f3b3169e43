"""`sync_reconcile` compares first: it changes the same as a pass over every record, with fewer calls."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F

from npd.models import Contact
from sync.choices import Cause
from sync.clock import sync_now
from sync.models import BoardLink, Intent, SyncMetadata, SyncQueue
from sync.operations.comparison import ComparisonResult, compare_board
from sync.operations.reconcile_all import reconcile_boards
from sync.outbox import enqueue
from tests.support.world import World, mail
from tests.sweeps.conftest import Post

Trouble = Callable[[World, Contact], object]

TOLD = (
    *("contacts", "sync_metadata", "sync_decisions", "sync_conflicts", "sync_intents", "sync_webhook_events"),
    *("sync_write_loops", "sync_awaited_relations", "sync_field_mappings", "sync_tombstones", "sync_approval_requests"),
)
# What a pass changes even if it finds nothing to do: its time, number, duration and cost.
OF_THE_PASS = {
    *("monday_last_synced", "last_sync_attempt", "last_successful_sync"),
    *("sync_batch_id", "sync_duration_ms", "api_calls_count", "sync_direction"),
}


def state(world: World) -> dict[str, Any]:
    """Everything stored of records, values, sync state, history, open jobs and boards."""
    stored: dict[str, Any] = {"boards": world.sandbox.boards()}
    with connection.cursor() as cursor:
        for table in TOLD:
            cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" AS t')
            rows = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in cursor.fetchall()]
            values = [{name: value for name, value in row.items() if name not in OF_THE_PASS} for row in rows]
            stored[table] = sorted(values, key=lambda row: json.dumps(row, sort_keys=True))
    open_jobs = SyncQueue.objects.exclude(status="completed").order_by("id")
    return stored | {"jobs": list(open_jobs.values("id", "entity_id", "status", "error_message"))}


def pass_over_every_record(world: World) -> None:
    linked = Contact.objects.exclude(monday_id=None).values_list("pk", flat=True)
    enqueue("contact", sorted(linked), cause=Cause.SWEEP)
    world.work()


def edited(column: str, value: Any) -> Trouble:
    return lambda world, contact: world.edit(contact, column, value)


def changed_behind_the_outbox(world: World, contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(role_title="Countess")
    SyncQueue.objects.filter(entity_id=contact.pk, status="pending").delete()
    Contact.objects.filter(pk=contact.pk).update(sync_status="synced")


def without_its_npd_id(world: World, contact: Contact) -> None:
    world.edit(contact, BoardLink.objects.get(entity_type="contact").npd_id_column, "")


def without_sync_state(world: World, contact: Contact) -> None:
    world.sync_state(contact).delete()


def with_an_open_intent(world: World, contact: Contact) -> None:
    Intent.objects.filter(entity_id=contact.pk).update(
        state="open", item_id=contact.monday_id, settled_at=None, deadline=F("created_at")
    )


def with_an_event_that_nobody_weighed(world: World, contact: Contact) -> None:
    world.edit(contact, "role_title", "Countess")
    world.edit(contact, "role_title", "Analyst")
    world.deliver()
    SyncQueue.objects.filter(entity_id=contact.pk, status="pending").delete()


TROUBLES: dict[str, Trouble] = {
    # This delivers webhooks, so it comes first: the other troubles' webhooks must get lost.
    "an event that nobody weighed": with_an_event_that_nobody_weighed,
    "an edit of a cell": edited("role_title", "Countess"),
    "a value changed behind the outbox": changed_behind_the_outbox,
    "an NPD ID that was emptied": without_its_npd_id,
    "no sync state": without_sync_state,
    "a sync state of another item": lambda world, c: SyncMetadata.objects.filter(entity_id=c.pk).update(remote_id="1"),
    "an open intent": with_an_open_intent,
}


def test_records_with_troubles_get_their_passes_and_passes_over_all_find_nothing_left(world: World, post: Post) -> None:
    odd = {
        name: world.contact(f"Ann {number}", role_title="Analyst", email=f"ann{number}@x.test", phone="+12025550169")
        for number, name in enumerate(TROUBLES)
    }
    other = world.contact("Bo", role_title="Boss", email="bo@x.test")
    world.work()
    world.hear(other, *odd.values())
    for name, contact in odd.items():
        TROUBLES[name](world, contact)
    post.lose()
    mark = SyncQueue.objects.order_by("-id").values_list("id", flat=True)[0]
    reconcile_boards(print)
    swept = SyncQueue.objects.annotate(swept=F("causes").bitand(int(Cause.SWEEP))).filter(swept__gt=0)
    passed = set(swept.filter(status="completed").values_list("entity_id", flat=True))
    assert [name for name, contact in odd.items() if contact.pk not in passed] == []
    assert not SyncQueue.objects.filter(entity_id=other.pk, id__gt=mark).exists()
    before = state(world)
    pass_over_every_record(world)
    assert state(world) == before


def test_where_nothing_is_to_be_done_nothing_is_read_but_the_boards_and_nothing_changes(
    world: World, post: Post
) -> None:
    for name in ("Ann", "Bo", "Cy"):
        world.linked(name, role_title="Analyst")
    world.pass_time(minutes=5)
    before = state(world)
    calls, jobs = world.calls("query"), SyncQueue.objects.count()
    report, problems = reconcile_boards(print)
    # For each of the two boards: its changes, its columns, and its one page.
    assert (world.calls("query") - calls, SyncQueue.objects.count() - jobs) == (6, 0)
    expected = ["Organizations: 0 items on the board, 0 of them linked: nothing differed."]
    expected += ["Contacts: 3 items on the board, 3 of them linked: nothing differed."]
    assert (report[:2], problems) == (expected, [])
    assert state(world) == before


def test_a_board_that_can_not_be_listed_is_a_problem_in_words(world: World, post: Post) -> None:
    world.linked("Ann")
    world.sandbox.faults({"status": 500, "on": "boards", "count": 50})
    assert any("The comparison could not be finished." in problem for problem in reconcile_boards(print)[1])


def compared(post: Post) -> ComparisonResult:
    result = compare_board(post.world.link())
    assert result.problem == ""
    return result


def test_an_item_without_a_record_becomes_one_and_a_record_without_an_item_gets_one(world: World, post: Post) -> None:
    contact = world.contact("Ann")
    SyncQueue.objects.all().delete()
    item = {"name": "Bo", "values": {"email": mail("bo@x.test")}}
    world.sandbox.control("items", board_id=world.board_id(), items=[item])
    result = compared(post)
    assert (result.items, result.linked, result.unmatched, result.without_item) == (1, 0, 1, 1)
    world.work(minutes=1)
    assert world.status(contact) == "synced"
    assert Contact.objects.filter(name="Bo").count() == 1
    result = compared(post)
    assert (result.linked, result.unmatched, result.without_item) == (2, 0, 0)


def test_an_item_that_is_not_listed_is_asked_for_by_its_id_and_nothing_is_deleted(world: World, post: Post) -> None:
    contact = world.linked("Ann")
    world.linked("Bo")
    world.sandbox.act("archive", item_id=contact.monday_id)
    post.lose()
    result = compared(post)
    assert (result.items, result.unlisted) == (1, 1)
    world.work()
    assert world.sync_state(contact).remote_state == "archived"
    assert Contact.objects.filter(pk=contact.pk).exists()


def test_on_request_a_record_that_a_cut_listing_lacked_gets_its_pass(world: World, post: Post) -> None:
    contact = world.linked("Ann", role_title="Analyst")
    post.edit(contact, "role_title", "Countess")
    BoardLink.objects.update(swept_to=sync_now() + timedelta(hours=1))  # no sweep looks so far back
    world.sandbox.faults({"listing": 0, "on": "items_page", "count": 10})
    reconcile_boards(print)
    contact.refresh_from_db()
    assert contact.role_title == "Countess"
