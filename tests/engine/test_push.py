"""From NPD to the board."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from npd.models import Contact
from sync.models import BoardLink
from tests.support.world import World


def test_a_saved_contact_gets_an_item_with_every_mapped_value_and_empties_it_with_its_own(world: World) -> None:
    contact = world.contact(
        "Zoë Ångström", email="zoe@example.com", phone="+44 20 7946 0018", role_title="Head", notes="first\nsecond"
    )
    world.work()
    assert world.status(contact) == "synced"
    assert world.values(contact) == {
        "name": "Zoë Ångström",
        "email": "zoe@example.com",
        "phone": "+442079460018",
        "role_title": "Head",
        "notes": "first\nsecond",
        "npd_id": str(contact.pk),
    }
    world.save(contact, **dict.fromkeys(("email", "phone", "role_title", "notes"), ""))
    emptied = world.values(contact)
    assert (emptied.pop("name"), emptied.pop("npd_id"), set(emptied.values())) == (contact.name, str(contact.pk), {""})


def test_a_new_record_is_synced_at_once_though_its_items_webhook_came_before_the_link(world: World) -> None:
    for number in range(3):
        contact = world.contact(f"P{number}", email=f"p{number}@example.com")
        world.meanwhile(world.deliver, after="mutation")
        before = world.calls()
        world.work(contact)
        world.work(contact)
        assert (contact.sync_status, world.calls() - before) == ("synced", 2)


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Stops this process for ten minutes after its next statement that begins so, by its own clock."""
    monotonic = time.monotonic
    starts: list[str] = []

    def execute_and_stop(execute: Any, statement: Any, *arguments: Any) -> Any:
        result = execute(statement, *arguments)
        if starts and str(statement).startswith(starts[-1]):
            starts.clear()
            monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 600)
        return result

    with connection.execute_wrapper(execute_and_stop):
        yield starts.append
    assert not starts


def test_a_process_stopped_after_announcing_sends_nothing(world: World, stop_after: Callable[[str], None]) -> None:
    contact = world.linked(role_title="Boss")
    before = world.calls("mutation")
    stop_after('INSERT INTO "sync_intents"')
    world.save(contact, role_title="Chair")
    assert world.calls("mutation") == before
    world.settle()
    assert world.values(contact)["role_title"] == "Chair"


def test_a_process_stopped_before_a_repeat_sends_nothing(world: World, stop_after: Callable[[str], None]) -> None:
    contact = world.contact("Ann")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    world.wait_out()
    before = world.calls("mutation")
    stop_after('UPDATE "sync_intents" SET "deadline"')
    world.work()
    assert world.calls("mutation") == before
    world.wait_out()
    world.settle()
    assert world.status(contact) == "synced"
    assert [item["name"] for item in world.sandbox.items()] == ["Ann"]


def test_a_save_during_the_call_is_seen_by_the_next_pass(world: World) -> None:
    contact = world.linked(role_title="Old")
    saved = Contact.objects.filter(pk=contact.pk)
    world.meanwhile(lambda: saved.update(role_title="Second"), before="mutation")
    world.save(contact, role_title="First")
    contact.refresh_from_db()
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Second", "Second")
    assert world.status(contact) == "synced"


TOO_COMPLEX = {
    "errors": [{"message": "Query cost is too high", "extensions": {"code": "REQUEST_MAX_COMPLEXITY_EXCEEDED"}}]
}


def batch_limit() -> int | None:
    return BoardLink.objects.get(entity_type="contact").batch_limit


def test_a_read_that_is_too_complex_is_asked_again_in_quarters_and_costs_no_attempt(world: World) -> None:
    contacts = world.linked_together(8, role_title="x")
    Contact.objects.update(role_title="y")
    calls = world.calls()
    world.sandbox.faults({"status": 400, "on": "query", "count": 1, "body": TOO_COMPLEX})
    world.work()
    assert {world.status(contact) for contact in contacts} == {"synced"}
    assert {world.row(contact).attempts for contact in contacts} == {1}
    # One refused, then looks of two, three and three records: a read and a write each.
    assert world.calls() - calls == 1 + 3 * 2
    assert (batch_limit() or 100) < 8


def test_a_document_that_is_no_longer_valid_holds_such_calls_and_costs_no_record_an_attempt(world: World) -> None:
    contacts = world.linked_together(4, role_title="x")
    Contact.objects.update(role_title="y")
    calls = world.calls()
    invalid = {"errors": [{"message": 'Cannot query field "change_multiple_column_values" on type "Mutation".'}]}
    world.sandbox.faults({"status": 200, "on": "mutation", "count": 1, "body": invalid})
    world.work()
    # A read and the refused write: in parts it would be refused as well.
    assert world.calls() - calls == 2
    assert {(world.row(contact).status, world.row(contact).attempts) for contact in contacts} == {("pending", 0)}
    reason = world.link().stops["change"]["reason"]
    assert "document Write" in reason
    assert "API version" in reason
    world.work(seconds=50)
    assert world.calls() - calls == 2
    world.work(seconds=20)
    assert {world.status(contact) for contact in contacts} == {"synced"}
