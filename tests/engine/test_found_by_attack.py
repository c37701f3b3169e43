"""What hostile readers found; each was red before it was mended."""

import threading
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections, transaction

from conflicts.models import SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact, Organization
from sync import account, engine
from sync.clock import sync_now
from sync.engine import intents, reading
from sync.models import BoardLink, FieldMapping, Intent, SyncQueue, Tombstone
from sync.push import push_by_name
from sync.standstill import why_not
from tests.engine.conftest import World
from tests.support.waiting import wait_for


@pytest.fixture
def person(transactional_db: None) -> Any:
    return get_user_model().objects.create_superuser("lead", "lead@example.com", "x")


def choose(conflict: SyncConflict, person: Any, type_: str, **selection: Any) -> None:
    conflict.refresh_from_db()
    seen = {
        k: {"npd": conflict.npd_data[k], "monday": conflict.monday_data[k]} for k in conflict.conflict_fields
    }
    resolve(conflict.pk, by=person, resolution_type=type_, selections=selection, seen=seen)


def clash(world: World) -> tuple[Contact, SyncConflict]:
    contact = world.linked(role_title="Old", notes="old")
    world.edit(contact, "role_title", "Monday's")
    Contact.objects.filter(pk=contact.pk).update(role_title="NPD's")
    world.work()
    return contact, SyncConflict.objects.get(entity_id=contact.pk)


def fail_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "plan", lambda *args: 1 / 0)


def give_up_on(world: World, record: Any) -> None:
    for _ in range(6):
        world.work()
        world.pass_time(minutes=70)
    assert world.row(record).status == "failed"


def mail(address: str) -> dict[str, str]:
    return {"email": address, "text": address}


# --- nothing green that isn't equal ------------------------------------------------------------------------


@pytest.mark.parametrize("off", [{"sync_enabled": False}, {"sync_direction": "none"}])
def test_sync_switched_on_again_reads_what_was_edited_on_the_board_meanwhile(
    world: World, off: dict[str, Any]
) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(**off)
    world.work()
    world.edit(contact, "role_title", "Edited while off")
    world.deliver()
    world.work()
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=True, sync_direction="bidirectional")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Edited while off")


def test_an_echo_does_not_close_the_dead_letter_of_an_unsent_change(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss", notes="n")
    with monkeypatch.context() as broken:
        fail_for(broken)
        Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
        give_up_on(world, contact)
    world.edit(contact, "notes", "x")
    world.edit(contact, "notes", "n")
    world.deliver()
    world.work()
    assert world.values(contact)["role_title"] == "Chair"
    assert world.status(contact) == "synced"


def test_a_save_of_an_unmapped_field_does_not_swallow_a_webhook_that_comes_between(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    organization = Organization.objects.create(name="O", sync_enabled=False)
    Contact.objects.filter(pk=contact.pk).update(organization=organization)
    world.edit(contact, "role_title", "Edited")
    original = engine.load

    def late(*args: Any) -> None:
        monkeypatch.setattr(engine, "load", original)
        world.deliver()
        original(*args)

    monkeypatch.setattr(engine, "load", late)
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Edited")


def test_a_quiet_save_does_not_close_the_dead_letter_of_a_pull(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    with monkeypatch.context() as broken:
        fail_for(broken)
        world.edit(contact, "role_title", "Edited")
        world.deliver()
        give_up_on(world, contact)
        assert world.status(contact) == "pending"
        assert world.ledger(contact).sync_status == "failed"
    organization = Organization.objects.create(name="O", sync_enabled=False)
    Contact.objects.filter(pk=contact.pk).update(organization=organization)
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Edited")


def test_a_push_by_name_makes_a_synced_record_pending_until_it_is_done(world: World) -> None:
    contact = world.linked()
    push_by_name(contact, "lead")
    assert world.status(contact) == "pending"
    world.work()
    assert world.status(contact) == "synced"


def test_what_monday_fills_into_a_new_item_by_itself_is_taken_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.contact("Ann")
    client = account.client()
    real = client.execute

    def filled(document: str, variables: Any, **more: Any) -> Any:
        if "create_item" in document:
            variables = {**variables, "values_r0": variables["values_r0"][:-1] + ',"role_title":"Default"}'}
        return real(document, variables, **more)

    monkeypatch.setattr(client, "execute", filled)
    world.work()
    assert world.status(contact) == "pending"
    world.pass_time(seconds=11)
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Default")


# --- creates ---------------------------------------------------------------------------------------------


def blind_search(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Monday's search lags: it doesn't show items that were made a moment ago."""
    from dataclasses import replace

    left, original = [times], reading.parse_look

    def lagging(answer: Any, columns: Any) -> Any:
        left[0] -= 1
        found = original(answer, columns)
        return replace(found, by_npd_id=[], by_match=[]) if left[0] >= 0 else found

    monkeypatch.setattr(reading, "parse_look", lagging)


def test_a_lost_create_whose_time_comes_while_a_worker_lingers_is_not_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    world.contact("Ann", email="a@example.com")
    world.sandbox.faults({"timeout": "after"})
    world.work()
    world.wait_out()
    Intent.objects.filter(state="open").update(deadline=sync_now() + timedelta(seconds=0.7))
    blind_search(monkeypatch, 2)
    world.queue.process(seconds=60, linger=True)
    assert len(world.sandbox.items()) == 1


def test_a_lost_create_whose_second_sending_meets_a_limit_keeps_its_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.contact("Ann", email="a@example.com")
    world.sandbox.faults({"timeout": "after"})
    world.work()
    world.wait_out()
    world.sandbox.faults({"status": 429, "retry_after": 20, "on": "mutation"})
    blind_search(monkeypatch, 2)
    for _ in range(3):
        world.work()
        world.pass_time(seconds=65)
    assert len(world.sandbox.items()) == 1
    assert world.status(contact) == "synced"


def test_creates_answered_without_data_are_looked_for_before_they_are_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.connectors.monday.errors import AnswerWithoutData

    world.contact("Ann", email="a@example.com")
    world.contact("Bob", email="b@example.com")
    client = account.client()
    real, first = client.execute, [True]

    def without_data(document: str, variables: Any, **more: Any) -> Any:
        answer = real(document, variables, **more)
        if "create_item" in document and first.pop() if first else False:
            blind_search(monkeypatch, 2)
            raise AnswerWithoutData("Monday answered without results")
        return answer

    monkeypatch.setattr(client, "execute", without_data)
    for _ in range(3):
        world.work()
        world.wait_out()
    assert sorted(item["name"] for item in world.sandbox.items()) == ["Ann", "Bob"]


def test_an_npd_id_that_cannot_be_read_is_not_an_empty_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.connectors.monday import items

    contact = Contact(name="Ann")
    world.sandbox.act("add", board_id=world.board_id(), name="Ann", values={"npd_id": str(contact.pk)})
    contact.save()
    original = items._reading

    def blind(node: Any, error: Any) -> Any:
        return (
            items._unknown("npd_id", "text", "an error") if node["id"] == "npd_id" else original(node, error)
        )

    monkeypatch.setattr(items, "_reading", blind)
    world.work()
    assert len(world.sandbox.items()) == 1
    assert "NPD ID" in world.ledger(contact).note
    assert world.status(contact) == "pending"


def test_a_record_deleted_while_its_item_was_made_leaves_a_tombstone_that_knows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.contact("Ann")
    key, original = contact.pk, engine.settle

    def delete_first(*args: Any) -> None:
        monkeypatch.setattr(engine, "settle", original)
        Contact.objects.filter(pk=key).delete()
        original(*args)

    monkeypatch.setattr(engine, "settle", delete_first)
    world.work()
    [item] = [item for board in world.sandbox.boards() for item in board["items"]]
    assert Tombstone.objects.get(entity_id=key).monday_id == item["id"]


# --- choices and conflicts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "selection", "result"),
    [
        ("keep_npd", {}, "12 Main St, Springfield"),
        ("merge", {"address": {"choose": "base"}}, "12 Main St, Springfield"),
        ("merge", {"address": {"choose": "custom", "value": "A, B, C"}}, "A, B, C"),
    ],
)
def test_an_address_that_cannot_be_split_is_settled_by_any_choice(
    world: World, person: Any, type_: str, selection: dict[str, Any], result: str
) -> None:
    organization = Organization.objects.create(
        name="Ltd", address_street="12 Main St", address_city="Springfield"
    )
    world.work()
    world.edit(organization, "address", "Floor 3, 14 Main St, Springfield, IL")
    world.look(organization)
    conflict = SyncConflict.objects.get(entity_id=organization.pk)
    choose(conflict, person, type_, **selection)
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    assert (world.status(organization), world.values(organization)["address"]) == ("synced", result)


def test_a_choice_whose_look_became_a_dead_letter_can_be_made_anew(
    world: World, person: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    with monkeypatch.context() as broken:
        fail_for(broken)
        give_up_on(world, contact)
    choose(conflict, person, "keep_monday")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")


def test_a_choice_whose_look_was_cancelled_can_be_made_anew(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    world.queue.cancel(world.row(contact).pk, by="lead")
    choose(conflict, person, "keep_monday")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")


@pytest.mark.parametrize("how", ["archive", "column"])
def test_a_conflict_stays_with_its_choice_while_a_side_cannot_be_read(
    world: World, person: Any, how: str
) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    if how == "archive":
        world.sandbox.act("archive", item_id=contact.monday_id)
    else:
        world.sandbox.query(
            'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "role_title") { id } }',
            b=world.board_id(),
        )
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolved_at is None
    assert conflict.choice is not None
    assert world.status(contact) == "conflict"
    if how == "archive":
        world.sandbox.act("restore", item_id=contact.monday_id)
        world.look(contact)
        assert (world.status(contact), world.values(contact)["role_title"]) == ("synced", "NPD's")


def test_the_question_whose_item_it_is_stays_open_until_it_is_answered(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    world.sandbox.act(
        "add", board_id=world.board_id(), name="Ann again", values={"email": mail("ann@example.com")}
    )
    world.deliver()
    world.pass_time(seconds=11)
    world.work()
    Contact.objects.filter(pk=contact.pk).update(notes="x")
    world.work()
    assert SyncConflict.objects.get(entity_id=contact.pk).resolved_at is None


def test_conflicts_of_a_deleted_record_close(world: World) -> None:
    contact, conflict = clash(world)
    contact.delete()
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolution_type == "auto"


# --- the queue -------------------------------------------------------------------------------------------


def test_a_claim_gives_way_to_a_save_and_never_kills_it(world: World) -> None:
    """A worker died with two records in flight; a successor claims while one transaction saves both."""
    one, two = sorted([world.linked("A"), world.linked("B")], key=lambda c: str(c.pk))
    SyncQueue.objects.all().delete()
    dead = {
        "status": "in_progress",
        "lease_token": uuid.uuid4(),
        "claim_size": 2,
        "attempts": 1,
        "counted": True,
    }
    for contact in (one, two):
        SyncQueue.objects.create(entity_type="contact", entity_id=contact.pk, payload={}, causes=1, **dead)
    held, saved = threading.Event(), []

    def somebody_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock')"
            )
            return bool(cursor.fetchone()[0])

    def save() -> None:
        with transaction.atomic():
            Contact.objects.filter(pk=two.pk).update(notes="two")
            held.set()
            wait_for("the claim, which has one record's row, waits for the other's", somebody_waits)
            Contact.objects.filter(pk=one.pk).update(notes="one")
        saved.append(True)
        connections.close_all()

    thread = threading.Thread(target=save)
    thread.start()
    held.wait(5)
    world.work()
    thread.join()
    assert saved == [True]


def test_rows_that_are_handed_over_keep_what_they_knew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False, role_title="Chair")
    world.work()
    contact.refresh_from_db()
    push_by_name(contact, "lead")
    original = engine.read

    def save_then_fail(batch: Any) -> Any:
        from sync.connectors.monday.errors import Unreachable

        monkeypatch.setattr(engine, "read", original)
        Contact.objects.filter(pk=contact.pk).update(notes="typed meanwhile")
        raise Unreachable("no connection")

    monkeypatch.setattr(engine, "read", save_then_fail)
    world.work()
    world.wait_out()
    world.work()
    assert world.values(contact)["role_title"] == "Chair"


def test_a_row_that_was_not_due_keeps_its_attempts_and_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    fail_for(monkeypatch)
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.work()
    world.pass_time(minutes=2)
    world.work()
    before = SyncQueue.objects.get(entity_id=contact.pk, status="pending")
    world.edit(contact, "notes", "x")
    world.deliver()
    world.work()
    after = SyncQueue.objects.get(pk=before.pk)
    assert (after.attempts, after.next_retry) == (before.attempts, before.next_retry)
    assert SyncQueue.objects.get(entity_id=contact.pk, direction="to_npd", status="pending").attempts == 1


def test_a_refused_read_of_new_items_backs_off(world: World) -> None:
    world.sandbox.act("add", board_id=world.board_id(), name="New", values={"email": mail("n@example.com")})
    world.deliver()
    world.pass_time(seconds=11)
    world.sandbox.faults({"status": 400, "count": 50})
    before = world.calls()
    world.work()
    assert world.calls() - before < 5


def test_a_record_that_monday_refuses_with_its_whole_document_stops_nobody(world: World) -> None:
    first, second = world.linked("A", role_title="x"), world.linked("B", role_title="x")
    Contact.objects.update(role_title="y")
    body = {"errors": [{"message": "bad", "extensions": {"code": "RecordInvalidException"}}]}
    world.sandbox.faults({"status": 422, "on": "mutation", "count": 3, "body": body})
    world.work()
    assert {world.row(first).attempts, world.row(second).attempts} == {1}
    assert world.mon_pause().pause_reason == ""


# --- limits, boards, other ---------------------------------------------------------------------------------


def test_after_a_limit_nothing_more_is_sent_and_the_wait_is_not_shortened(world: World) -> None:
    contact = world.linked("A", role_title="x")
    Contact.objects.filter(pk=contact.pk).update(role_title="y")
    world.contact("New one")
    before = world.calls("mutation")
    world.sandbox.faults(
        {"status": 429, "retry_after": 40, "on": "mutation"}, {"status": 500, "on": "mutation"}
    )
    world.work()
    assert world.calls("mutation") - before == 1
    assert (world.mon_pause().paused_until - sync_now()).total_seconds() > 30  # type: ignore[operator]


def test_a_daily_limit_is_waited_out_until_midnight_utc(world: World) -> None:
    contact = world.linked("A", role_title="x")
    Contact.objects.filter(pk=contact.pk).update(role_title="y")
    body = {"errors": [{"message": "Daily limit exceeded", "extensions": {"code": "DAILY_LIMIT_EXCEEDED"}}]}
    world.sandbox.faults({"status": 429, "count": 50, "body": body})
    world.work()
    until = world.mon_pause().paused_until
    assert until is not None
    assert (until.hour, until.minute, until > sync_now()) == (0, 0, True)


def test_a_lost_create_on_a_board_that_is_gone_holds_this_board_only(world: World) -> None:
    world.contact("Ann")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    world.wait_out()
    world.sandbox.query("mutation ($b: ID!) { archive_board(board_id: $b) { id } }", b=world.board_id())
    world.work()
    assert why_not("organization") == ""
    assert BoardLink.objects.get(entity_type="contact").blocked_reason


def test_a_change_in_place_of_a_list_is_saved(world: World) -> None:
    organization = Organization.objects.get(pk=Organization.objects.create(name="O", aliases=["a"]).pk)
    organization.aliases.append("b")
    organization.save()
    assert Organization.objects.get(pk=organization.pk).aliases == ["a", "b"]


def test_a_save_that_was_rolled_back_can_be_repeated(world: World) -> None:
    contact = Contact.objects.get(pk=world.contact("Old").pk)
    contact.name = "New"
    with transaction.atomic():
        contact.save()
        transaction.set_rollback(True)
    contact.save()
    assert Contact.objects.get(pk=contact.pk).name == "New"


def test_characters_that_npd_cannot_store_hold_their_field_alone(world: World) -> None:
    contact = world.linked(role_title="Boss", notes="old")
    world.edit(contact, "role_title", "a\x00b")
    world.edit(contact, "notes", "from the board")
    world.look(contact)
    assert (world.status(contact), contact.role_title, contact.notes) == ("pending", "Boss", "from the board")
    assert "role_title" in world.ledger(contact).held


def test_a_process_that_stood_still_after_its_announcement_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    original = intents.announce

    def frozen(batch: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(batch, *args, **kwargs)
        batch.announced -= 600
        return found

    with monkeypatch.context() as patch:
        patch.setattr(intents, "announce", frozen)
        before = world.calls("mutation")
        world.work()
        assert world.calls("mutation") == before
    world.wait_out()
    world.work()
    assert world.values(contact)["role_title"] == "Chair"


def test_parts_of_an_address_typed_between_read_and_settle_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = Organization.objects.create(name="Ltd", address_street="12 Main St, Springfield")
    world.work()
    world.edit(organization, "address", "14 Main St, Springfield")
    original = engine.settle

    def save_first(*args: Any) -> None:
        monkeypatch.setattr(engine, "settle", original)
        Organization.objects.filter(pk=organization.pk).update(
            address_street="12 Main St", address_city="Springfield"
        )
        original(*args)

    monkeypatch.setattr(engine, "settle", save_first)
    world.look(organization)
    organization.refresh_from_db()
    assert (organization.address_street, organization.address_city) == ("14 Main St", "Springfield")


@pytest.mark.parametrize("stored", ["Cafe\u0301 GmbH", "Café GmbH "])
def test_an_item_finds_its_record_in_whatever_form_the_name_is_stored(world: World, stored: str) -> None:
    Organization.objects.create(name=stored, sync_enabled=False)
    world.work()
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Café GmbH", values={})
    world.deliver()
    world.pass_time(seconds=11)
    world.work()
    assert Organization.objects.count() == 1


def test_an_intent_without_an_answer_outlives_the_time_its_item_is_archived(world: World) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.sandbox.faults({"timeout": "after"})
    world.work()
    world.sandbox.act("archive", item_id=contact.monday_id)
    world.wait_out()
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Director")
    world.sandbox.act("restore", item_id=contact.monday_id)
    world.deliver()
    world.work()
    assert (world.status(contact), world.values(contact)["role_title"]) == ("synced", "Director")


def test_a_new_record_takes_nothing_over_against_a_fields_direction(world: World) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="notes").update(direction="npd_to_monday")
    values = {"email": mail("n@example.com"), "notes": {"text": "from the board"}}
    world.sandbox.act("add", board_id=world.board_id(), name="New", values=values)
    world.deliver()
    world.pass_time(seconds=11)
    world.work()
    assert Contact.objects.get(email="n@example.com").notes == ""


def test_a_refused_choice_is_handed_back_with_the_value_that_was_refused(world: World, person: Any) -> None:
    contact = world.linked(phone="+12025550112")
    world.edit(contact, "phone", {"phone": "+12025550147", "countryShortName": "US"})
    Contact.objects.filter(pk=contact.pk).update(phone="+12025550199")
    world.work()
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    choose(conflict, person, "merge", phone={"choose": "custom", "value": "5"})
    world.work()
    conflict.refresh_from_db()
    assert "“5”" in conflict.choice_problem
    assert "Choose another value" in conflict.choice_problem
