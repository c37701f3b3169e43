"""`sync_reconcile --dry-run`: its plan is what the real run then does, and it writes nothing."""

import json
from collections import Counter
from io import StringIO
from typing import Any

import pytest
import responses
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.limits import metered_client
from sync.limits.api_quota import batch_size
from sync.models import ActivityLine, BoardLink, FieldMapping, SyncQueue, Tombstone
from sync.operations.dry_run import read_only_client
from sync.operations.planned_changes import BoardPlan, ChangeKind, PlannedChange
from sync.operations.reconcile_all import plan_boards
from tests.admin import states
from tests.engine.conftest import choose
from tests.support.world import World, mail, staged

pytestmark = pytest.mark.django_db(transaction=True)

# The dry run's own calls are booked.
BOOKED = {"sync_api_quota"}
LEARNED = ("batch_limit",)


def everything() -> dict[str, list[Any]]:
    rows_by_table: dict[str, list[Any]] = {}
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
        for table in sorted(({model._meta.db_table for model in apps.get_models()} & present) - BOOKED):
            cursor.execute(f'SELECT to_jsonb(t) FROM "{table}" AS t')
            rows = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in cursor.fetchall()]
            if table == "sync_board_links":
                rows = [row | dict.fromkeys(LEARNED) for row in rows]
            rows_by_table[table] = sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))
    return rows_by_table


def plan() -> tuple[list[BoardPlan], int]:
    """The plan, and how many calls it took."""
    boards, reading = plan_boards()
    return boards, reading.calls


def output() -> str:
    out = StringIO()
    call_command("sync_reconcile", "--dry-run", stdout=out)
    return out.getvalue()


def changes_of(boards: list[BoardPlan]) -> list[PlannedChange]:
    return [change for board in boards for change in board.changes]


@staged
def linked(world: World, *names: str) -> None:
    for name in names:
        world.contact(name.capitalize(), email=f"{name}@example.com", role_title="Boss")
    world.work()
    world.hear()


def mixed(world: World) -> None:
    """One contact for each outcome of a pass."""
    linked(world, "same", "push", "pull", "both", "clash", "held", "gone", "off")
    BoardLink.objects.filter(entity_type="contact").update(creates_records=True)
    contacts = Contact.objects.all()
    contacts.filter(name__in=("Push", "Clash")).update(role_title="Chair")
    contacts.filter(name="Both").update(phone="+46 8 123 45")
    contacts.filter(name="Held").update(notes="x" * 2001)
    contacts.filter(name="Off").update(sync_enabled=False)
    contacts.get(name="Gone").delete()
    for name, role in (("Pull", "Chair"), ("Both", "Chair"), ("Clash", "President")):
        world.edit(contacts.get(name=name), "role_title", role)
    world.contact("New", email="new@example.com")
    items = [
        {"name": "Stranger", "values": {"email": "stranger@example.com"}},
        {"name": "New", "values": {"email": "twin@example.com"}},
    ]
    world.sandbox.control("items", board_id=world.board_id(), items=items)
    world.contact("Twin", email="twin@example.com")


def test_the_plan_writes_nothing_and_the_real_run_then_does_it_and_says_what_it_costs(world: World) -> None:
    mixed(world)
    before, boards = everything(), world.sandbox.boards()
    last_call = world.sandbox.calls()[-1]["id"]
    planned_boards, cost = plan()
    assert (everything(), world.sandbox.boards()) == (before, boards)
    assert {call["kind"] for call in world.sandbox.calls(since=last_call)} == {"query"}
    entries = changes_of(planned_boards)
    mark, calls = ActivityLine.objects.latest("id").pk, world.calls()
    call_command("sync_reconcile", stdout=StringIO())
    # Items that its sweep has just heard of wait some seconds, and take passes of their own.
    world.work(seconds=30)
    guess = sum(board.calls for board in planned_boards)
    assert abs((world.calls() - calls) - guess) <= 5, (world.calls() - calls, guess)
    assert cost < guess
    decisions = ActivityLine.objects.filter(pk__gt=mark)

    moves = {(e.kind, e.name, e.field, e.after) for e in entries if e.kind in ("push", "pull")}
    labels = {(m.link.entity_type, m.key): m.label for m in FieldMapping.objects.select_related("link")}
    names = {str(c.pk): c.name for c in Contact.objects.all()}
    created = {str(row.entity_id) for row in decisions.filter(kind="create")}
    real = {
        (row.kind, names[str(row.entity_id)], labels["contact", row.key], row.values["after"])
        for row in decisions.filter(kind__in=("push", "pull"))
        if str(row.entity_id) not in created
    }
    assert moves == real

    def planned(kind: str) -> set[str]:
        return {entry.name for entry in entries if entry.kind == kind}

    def done(kind: str, begins: str = "") -> set[str]:
        rows = decisions.filter(kind=kind, sentence__says=begins)
        return {names[str(row.entity_id)] for row in rows}

    assert planned("create") == {"New"} == done("create", "Created the item")
    assert planned("new record") == {"Stranger"} == done("create", "Created from the item")
    assert planned("conflict") == {names[str(c.entity_id)] for c in SyncConflict.objects.filter(resolved_at=None)}
    assert "Twin" in planned("link")
    assert done("link") == {"Twin"}
    assert planned("archive item") == {"Gone"}
    assert Tombstone.objects.get().state == "archived"


def test_the_guard_counts_through_a_plans_parts(world: World, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.GUARD_RECORDS = 3
    monkeypatch.setattr("sync.limits.api_quota.next_batch_size", lambda size, *arguments: size)
    contacts = [world.contact(f"Contact {n}", role_title="Boss") for n in range(6)]
    world.work()
    BoardLink.objects.filter(entity_type="contact").update(batch_limit=2)
    assert batch_size(BoardLink.objects.get(entity_type="contact").pk) == 2
    for contact in contacts:
        Contact.objects.filter(pk=contact.pk).update(role_title="")
    numbers = Counter(change.kind for change in changes_of(plan()[0]))
    call_command("sync_reconcile", stdout=StringIO())
    emptied = sum(world.values(contact)["role_title"] == "" for contact in contacts)
    assert numbers[ChangeKind.PUSH] == emptied
    assert numbers[ChangeKind.ASK] == len(contacts) - emptied > 0


def test_items_of_deleted_records_that_wait_for_approval_are_planned_as_questions(world: World, settings: Any) -> None:
    settings.GUARD_RECORDS = 3
    contacts = [world.contact(f"Contact {n}") for n in range(6)]
    world.work()
    BoardLink.objects.filter(entity_type="contact").update(deleted_record_policy="archive_item")
    for contact in contacts:
        contact.delete()
    numbers = Counter(change.kind for change in changes_of(plan()[0]))
    call_command("sync_reconcile", stdout=StringIO())
    waiting = Tombstone.objects.filter(state="pending_approval").count()
    assert numbers[ChangeKind.ASK] == waiting > 0
    assert numbers[ChangeKind.ARCHIVE] == len(contacts) - waiting


def test_a_deleted_record_whose_job_was_lost_is_planned_by_its_item(world: World) -> None:
    contact = world.linked("Ann")
    BoardLink.objects.filter(entity_type="contact").update(deleted_record_policy="archive_item")
    contact.delete()
    SyncQueue.objects.all().delete()
    world.wait_out()
    boards, _ = plan()
    assert [(entry.kind, entry.name) for entry in changes_of(boards)] == [("archive item", "Ann")]
    calls = world.calls()
    call_command("sync_reconcile", stdout=StringIO())
    assert Tombstone.objects.get().state == "archived"
    assert sum(board.calls for board in boards) >= world.calls() - calls


def test_a_board_that_cannot_be_read_is_a_failure_in_words(settings: Any) -> None:
    states.boards()
    states.synced("Ann", "1")
    before = everything()
    settings.MONDAY_API_URL = "http://127.0.0.1:9/v2"
    out = StringIO()
    with pytest.raises(CommandError, match=r"Contacts: "):
        call_command("sync_reconcile", "--dry-run", stdout=out)
    assert "Plan: not known for Organizations and Contacts." in out.getvalue()
    assert everything() == before


def test_a_single_record_that_cannot_be_read_is_not_checked(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com", role_title="Boss")
    world.sandbox.act("archive", item_id=contact.monday_id)
    world.sandbox.control("faults", status=500, on="items", count=1)
    with pytest.raises(CommandError, match=r"Contacts: Monday could not be read to the end\."):
        output()


def test_an_item_for_which_monday_answers_an_error_is_listed(world: World) -> None:
    contact = world.linked("Ann")
    world.sandbox.control("faults", unreadable=[contact.monday_id], by_id=True)
    assert [(entry.kind, entry.item_id) for entry in changes_of(plan()[0])] == [("unreadable", contact.monday_id)]


@responses.activate
def test_a_mutation_never_leaves() -> None:
    with read_only_client(), pytest.raises(RuntimeError, match="dry run"):
        metered_client.client().execute("mutation { delete_item(item_id: 1) { id } }", {})
    assert not responses.calls


def test_what_a_person_has_answered_is_planned(world: World) -> None:
    records = [world.contact(name, email="ann@example.com") for name in ("One", "Two")]
    SyncQueue.objects.all().delete()
    item = world.add("Ann", email=mail("ann@example.com"), role_title="Buyer")
    world.hear(seconds=11)
    question = SyncConflict.objects.get(monday_item_id=item)
    choose(question, world.administrator("mary"), record={"choose": "link", "value": str(records[1].pk)})
    before = everything()
    [entry] = [entry for entry in changes_of(plan()[0]) if entry.name == "Two"]
    assert everything() == before
    assert (entry.kind, entry.reason) == ("link", f"Linked “Two” with the item {item}.")


def test_a_second_item_of_a_record_is_asked_about_and_archived_as_its_copy(world: World) -> None:
    mary = world.administrator("mary")
    contact = world.linked("Ann", email="ann@example.com")
    copy = str(world.sandbox.act("duplicate", item_id=contact.monday_id)["id"])
    assert [(entry.kind, entry.item_id) for entry in changes_of(plan()[0])] == [("ask", copy)]
    world.hear(seconds=11)
    answer = {"choose": "archive"}
    choose(SyncConflict.objects.get(monday_item_id=copy), mary, record=answer)
    assert [(entry.kind, entry.item_id) for entry in changes_of(plan()[0])] == [("archive item", copy)]


def test_the_calls_of_a_new_item_after_none_of_them_are_counted(world: World) -> None:
    BoardLink.objects.update(creates_records=False)
    mary = world.administrator("mary")
    contact = world.contact("Ann", email="ann@example.com")
    for name in ("A", "B"):
        world.add(name, email=mail("ann@example.com"))
    world.work()
    answer = {"choose": "new_item"}
    choose(SyncConflict.objects.get(entity_id=contact.pk), mary, record=answer)
    boards, _ = plan()
    assert [entry.kind for entry in changes_of(boards)] == ["create", "left as it is"]
    calls = world.calls()
    call_command("sync_reconcile", stdout=StringIO())
    world.work(contact, seconds=30)
    assert contact.sync_status == "synced"
    assert sum(board.calls for board in boards) == world.calls() - calls
