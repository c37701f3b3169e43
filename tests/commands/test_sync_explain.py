"""`sync_explain`: one record's story in words, also after its deletion."""

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
import responses
from django.core.management import CommandError, call_command

from npd.models import Contact
from sync import registry
from sync.kernel.humanize import terminal_line
from sync.models import BoardLink, SyncQueue
from tests.admin import states
from tests.commands.test_dry_run import everything
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def explained(record: str, *options: str, kind: str = "contact") -> str:
    out = StringIO()
    call_command("sync_explain", kind, record, *options, stdout=out)
    return out.getvalue()


def test_both_sides_stand_beside_what_was_agreed_with_what_comes_next_read_by_one_call(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss", notes="")
    world.edit(contact, "role_title", "Chair")
    before, calls = everything(), world.calls()
    text = explained(str(contact.pk))
    assert world.calls() == calls + 1
    assert "Role: NPD “Boss”, Monday “Chair”, last synced, NPD “Boss”, last synced, Monday “Boss”" in text
    assert "pull: Ann · Role: “Boss” → “Chair” (changed on Monday)" in text
    assert everything() == before


def test_a_pass_is_shown_by_its_facts_the_rules_that_changed_its_plan_and_what_it_would_write(world: World) -> None:
    contact = world.linked("Ann", role_title="Boss", notes="")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    before, calls = everything(), world.calls()
    text = explained(str(contact.pk), "--pass")
    assert world.calls() == calls + 1
    assert everything() == before
    facts, _, rules = text.partition("What the pass knows:")[2].partition("The rules that change its plan:")
    assert "record.role_title: 'Chair'" in facts
    assert f"item.id: '{contact.monday_id}'" in facts
    names = re.findall(r"^  (\w+): ", rules, re.MULTILINE)
    assert "fill_in_fields" in names
    assert "wait_for_stale_items" not in names
    assert rules.index("fill_in_fields") < rules.index("The next sync would:") < rules.index("“Boss” → “Chair”")


def test_a_deleted_record_and_one_without_a_board_have_a_pass_too(world: World) -> None:
    contact = world.linked("Ann")
    key = str(contact.pk)
    contact.delete()
    assert "decide_deleted_records" in explained(key, "--pass")
    BoardLink.objects.all().delete()
    assert "The rules that change its plan" not in explained(str(Contact.objects.create(name="Bo").pk), "--pass")


def test_the_state_is_that_of_the_page_with_the_attempts() -> None:
    states.boards()
    dead, waiting = states.dead("Ben"), states.waiting("Due")
    SyncQueue.objects.filter(entity_id=dead.pk).update(attempts=5)
    SyncQueue.objects.filter(entity_id=waiting.pk).update(attempts=2)
    for record, words in ((dead, "Needs attention, 5 of 5 attempts"), (waiting, "Pending, 2 of 5 attempts")):
        assert f"\n{words}, no item" in explained(str(record.pk))


def test_a_record_is_found_by_its_item_its_name_and_its_address() -> None:
    contact = Contact.objects.create(name="Ann Example", email="ann@example.com", monday_id="77")
    for name in (contact.monday_id, "ann example", "ANN@example.com", f" {contact.pk} "):
        assert str(contact.pk) in explained(str(name))


def test_a_deleted_record_is_found_by_its_types_own_match_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._entities, "contact", replace(registry.entity("contact"), match_key="phone"))
    contact = Contact.objects.create(name="Ann", phone="+12025550100")
    key = str(contact.pk)
    contact.delete()
    assert key in explained("+12025550100")


def test_what_several_bear_is_answered_with_their_ids() -> None:
    twins = [Contact.objects.create(name="Twin", email=f"{n}@example.com") for n in range(2)]
    with pytest.raises(CommandError, match="Several contact records are called “Twin”") as refused:
        explained("Twin")
    assert all(str(twin.pk) in str(refused.value) for twin in twins)


def test_the_lines_of_a_value_are_shown_as_one() -> None:
    contact = Contact.objects.create(name="Ann", notes="first\r\nsecond\n\tthird")
    assert terminal_line(f"Notes: {contact.notes}") == "Notes: first⏎second⏎ third"


def test_no_value_hides_rewrites_or_makes_up_a_line_of_the_terminal(world: World) -> None:
    name = "Ann\x1b[1A\x1b[2K\u202e\x9b2J\rBob\nPlan: nothing to do"
    contact = world.linked(name, email="twin@example.com")
    Contact.objects.filter(pk=contact.pk).update(role_title="a\x1b]0;b\x07")
    Contact.objects.create(name=name, email="twin@example.com")
    plan = StringIO()
    call_command("sync_reconcile", "--dry-run", "-v", "2", stdout=plan)
    with pytest.raises(CommandError, match="Several contact records") as refused:
        explained("twin@example.com")
    for text in (explained(str(contact.pk)), plan.getvalue(), str(refused.value)):
        assert "Ann\ufffd[1A" in text
        assert not set("\x1b\x9b\x07\r\u202e").intersection(text)
        assert "\nPlan: nothing to do" not in text


@pytest.mark.parametrize("text", ["nobody", "77", "11111111-1111-4111-8111-111111111111", ""])
def test_what_nobody_bears_is_a_failure_in_words(text: str) -> None:
    with pytest.raises(CommandError, match="There is no contact"):
        explained(text)
    with pytest.raises(CommandError, match="No synced model is called “car”"):
        explained("x", kind="car")


def test_every_decision_is_listed_with_its_cause_newest_last() -> None:
    contact = states.synced("Ann", "77")
    states.decided(contact, "Older.")
    cause = {"rows": [12], "causes": ["webhook"], "rule": "changed on Monday"}
    newer = states.decided(contact, "Newer.", "Bea Board on Monday", cause=cause)
    older_lines, newer_lines = explained(str(contact.pk)).split(f"\n  #{newer.pk} ")
    assert "Older." in older_lines
    assert "pull Bea Board on Monday: Newer." in newer_lines
    assert "job #12 (a webhook) → decided by: changed on Monday" in newer_lines


def test_a_deleted_record_is_explained_by_its_tombstone(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    item, pk = contact.monday_id, contact.pk
    contact.delete()
    for name in (str(pk), str(item), "ann@example.com", "ann"):
        text = explained(name)
        assert f"deleted, item {item}" in text
        assert "The next sync would:\n  archive item: Ann" in text
    world.work()
    assert "was archived" in explained("Ann")


@responses.activate
def test_without_monday_it_says_what_is_not_known_and_never_a_secret(settings: Any) -> None:
    states.boards()
    contact = states.synced("Ann", "1")
    text = explained(str(contact.pk))  # nobody answers
    assert "Monday not read" in text
    for secret in (settings.MONDAY_API_KEY, settings.MONDAY_WEBHOOK_TOKEN, settings.SECRET_KEY):
        assert not secret or secret not in text
