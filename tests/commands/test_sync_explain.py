"""`sync_explain`: one record's story in words, whether it is there or deleted."""

import json
from io import StringIO
from typing import Any

import pytest
import responses
from django.core.management import CommandError, call_command

from npd.models import Contact
from tests.admin import states
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


def test_both_sides_stand_beside_what_was_agreed_with_what_comes_next_read_by_one_call(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss", notes="")
    world.edit(contact, "role_title", "Chair")
    before, calls = everything(), world.calls()
    found = parsed(str(contact.pk))
    assert world.calls() == calls + 1
    fields = {field["key"]: field for field in found["fields"]}
    role = fields["role_title"]
    assert (role["npd"], role["base_npd"], role["base_monday"], role["monday"]) == ("Boss", "Boss", "Boss", "Chair")
    text = told(str(contact.pk))
    assert "Last synced, Monday" in text
    assert "update from Monday: Ann · Role: “Boss” → “Chair” (changed on Monday)" in text
    assert everything() == before
    # An empty cell is empty, and not unread.
    world.edit(contact, "role_title", "")
    monday = {field["key"]: field["monday"] for field in parsed(str(contact.pk))["fields"]}
    assert (monday["notes"], monday["role_title"], monday["name"]) == ("", "", "Ann")


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


def test_every_decision_is_told_with_its_cause_newest_last() -> None:
    contact = states.synced("Ann", "77")
    states.decided(contact, "Older.")
    cause = {"rows": [12], "causes": ["webhook"], "rule": "changed on Monday"}
    newer = states.decided(contact, "Newer.", "Bea Board on Monday", cause=cause)
    found = parsed(str(contact.pk), "--offline")["decisions"]
    assert [one["at"] for one in found] == sorted(one["at"] for one in found)
    assert (found[-1]["id"], found[-1]["actor"], found[-1]["kind"]) == (newer.pk, "Bea Board on Monday", "pull")
    assert [(link["what"], link["words"]) for link in found[-1]["cause"]] == [
        ("row", "job #12 (a webhook)"), ("rule", "decided by: changed on Monday"),
    ]  # fmt: skip


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


@responses.activate
def test_without_monday_it_says_what_it_does_not_know_and_never_a_secret(settings: Any) -> None:
    states.boards()
    contact = states.synced("Ann", "1")
    found = parsed(str(contact.pk), "--offline")
    assert (found["next"], len(responses.calls)) == (None, 0)
    assert {field["monday"] for field in found["fields"]} == {"(not read)"}
    text = told(str(contact.pk)) + told(str(contact.pk), "--json")  # nobody answers
    assert "Monday" in text
    for secret in (settings.MONDAY_API_KEY, settings.MONDAY_WEBHOOK_TOKEN, settings.SECRET_KEY):
        assert not secret or secret not in text
