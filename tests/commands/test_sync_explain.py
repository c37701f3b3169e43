"""`sync_explain`: one record's story in words, whether it is there or deleted."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from npd.models import Contact
from sync.models import Decision, MondayAccount
from tests.commands.test_dry_run import everything
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def told(record: str, *options: str, kind: str = "contact") -> str:
    out = StringIO()
    call_command("sync_explain", kind, record, *options, stdout=out)
    return out.getvalue()


def parsed(record: str, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(record, "--json", *options))
    return found


def test_both_sides_stand_beside_what_was_agreed_read_by_one_call(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    calls = world.calls()
    found = parsed(str(contact.pk))
    assert world.calls() == calls + 1
    (role,) = [field for field in found["fields"] if field["key"] == "role_title"]
    assert (role["npd"], role["base_npd"], role["base_monday"], role["monday"]) == ("Boss", "Boss", "Boss", "Chair")
    text = told(str(contact.pk))
    assert "Last synced, Monday" in text


def test_an_empty_cell_is_empty_and_not_unread(world: World) -> None:
    contact = world.linked("Ann", notes="", role_title="Boss")
    world.edit(contact, "role_title", "")
    found = {field["key"]: field["monday"] for field in parsed(str(contact.pk))["fields"]}
    assert (found["notes"], found["role_title"], found["name"]) == ("", "", "Ann")


def test_it_says_what_the_next_look_would_do_and_writes_nothing(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    before = everything()
    text = told(str(contact.pk))
    assert "update from Monday: Ann · Role: “Boss” → “Chair” (changed on Monday)" in text
    assert everything() == before


def test_a_record_is_found_by_its_item_its_name_and_its_address() -> None:
    contact = Contact.objects.create(name="Ann Example", email="ann@example.com", monday_id="77")
    for name in (contact.monday_id, "ann example", "ANN@example.com", f" {contact.pk} "):
        assert parsed(str(name), "--offline")["entity_id"] == str(contact.pk)


def test_what_several_bear_is_answered_with_their_ids() -> None:
    twins = [Contact.objects.create(name="Twin", email=f"{n}@example.com") for n in range(2)]
    with pytest.raises(CommandError, match="Several contact records are called “Twin”") as refused:
        told("Twin")
    assert all(str(twin.pk) in str(refused.value) for twin in twins)


@pytest.mark.parametrize("text", ["nobody", "77", "11111111-1111-4111-8111-111111111111", ""])
def test_what_nobody_bears_is_a_failure_in_words(text: str) -> None:
    with pytest.raises(CommandError, match="There is no contact"):
        told(text)
    with pytest.raises(CommandError, match="No synced model is called “car”"):
        told("x", kind="car")


def test_every_decision_is_told_with_its_cause_newest_last(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss")
    MondayAccount.objects.update(users={"67210012": {"name": "Bea Board", "email": "bea@example.com"}})
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", text="Chair", user_id=67210012)
    world.hear()
    found = parsed(str(contact.pk), "--offline")
    last = found["decisions"][-1]
    pull = Decision.objects.get(entity_id=contact.pk, kind="pull")
    assert (last["id"], last["actor"], last["kind"]) == (pull.pk, "Bea Board on Monday", "pull")
    assert [link["what"] for link in last["cause"]] == ["edit", "webhook", "row", "call", "rule"]
    words = [link["words"] for link in last["cause"]]
    assert words[0].startswith("edited on Monday by Bea Board at ")
    assert words[2].startswith("job #")
    assert words[2].endswith("(a webhook)")
    assert words[3] == f"Monday read [Monday request {pull.request_id}]"
    assert words[4] == "decided by: changed on Monday"
    assert found["decisions"] == sorted(found["decisions"], key=lambda one: one["at"])


def test_a_deleted_record_is_told_of_by_its_tombstone(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    item, pk = contact.monday_id, contact.pk
    contact.delete()
    for name in (str(pk), str(item), "ann@example.com", "ann"):
        found = parsed(name)
        assert (found["deleted"], found["status"], found["item_id"]) == (True, "deleted", item)
    assert found["next"][0]["what"] == "archive"
    world.work()
    assert "was archived" in told("Ann")


def test_without_monday_it_says_what_it_does_not_know(world: World, settings: Any) -> None:
    contact = world.linked("Ann", role_title="Boss")
    calls = world.calls()
    found = parsed(str(contact.pk), "--offline")
    assert (found["next"], world.calls()) == (None, calls)
    assert {field["monday"] for field in found["fields"]} == {"(not read)"}
    settings.MONDAY_API_URL = "http://127.0.0.1:18263/v2"
    assert "Monday" in told(str(contact.pk))


def test_no_secret_is_told(world: World, settings: Any) -> None:
    contact = world.linked("Ann", role_title="Boss")
    User.objects.create_superuser("dora", "dora@example.com", "x")
    text = told(str(contact.pk)) + told(str(contact.pk), "--json")
    for secret in (settings.MONDAY_API_KEY, settings.MONDAY_WEBHOOK_TOKEN, settings.SECRET_KEY):
        assert not secret or secret not in text
