"""Samples of records that say `synced`: equal ones are counted, drift is found, what is on its way is left out."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from npd.models import Contact, Organization
from sync.clock import SyncNow, sync_now
from sync.models import FieldMapping, MondayAccount, SyncAudit, SyncMetadata, SyncQueue
from sync.operations.detect import comparison
from sync.operations.detect.comparison import latest_verification, verify_board, verify_if_due
from sync.registry import link_of
from tests.support.waiting import wait_for
from tests.support.world import World, staged


def sample() -> SyncAudit | None:
    link = link_of("contact")
    assert link is not None
    return verify_board(link)


def figures(found: SyncAudit | None) -> tuple[int, int]:
    assert found is not None
    return found.sampled, found.drifted


@staged
def linked(world: World, number: int = 3) -> list[Contact]:
    made = [world.contact(f"Ann {n}", email=f"ann{n}@example.com", role_title="Boss") for n in range(number)]
    world.work()
    world.hear()
    world.pass_time(minutes=20)
    assert {world.status(contact) for contact in made} == {"synced"}
    return made


def lose_webhooks(world: World) -> None:
    wait_for("the sandbox has sent its webhooks", world._sent_all)
    world.hooks.kept.clear()  # type: ignore[attr-defined]


def test_equal_records_are_verified_with_one_read(world: World) -> None:
    linked(world)
    before = world.calls(), world.calls("mutation")
    assert figures(sample()) == (3, 0)
    assert (world.calls() - before[0], world.calls("mutation") - before[1]) == (1, 0)


def test_an_edit_whose_webhook_was_lost_is_drift_and_is_looked_at(world: World) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    lose_webhooks(world)
    world.pass_time(minutes=20)
    found = sample()
    assert figures(found) == (3, 1)
    assert found is not None
    (drift,) = found.details
    assert drift["record"] == str(contacts[0].pk)
    assert drift["fields"][0] == {
        "key": "role_title",
        "words": "Role: NPD says “Boss”, Monday “Chair”, last synced was “Boss”.",
        "npd": "Boss",
        "monday": "Chair",
        "agreed": "Boss",
    }
    world.work()
    contacts[0].refresh_from_db()
    assert contacts[0].role_title == "Chair"
    world.pass_time(minutes=20)
    assert figures(sample()) == (3, 0)


def test_a_change_past_the_triggers_is_drift(world: World) -> None:
    (contact,) = linked(world, 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE contacts DISABLE TRIGGER USER")
        cursor.execute("UPDATE contacts SET role_title = 'Chair' WHERE id = %s", [contact.pk])
        cursor.execute("ALTER TABLE contacts ENABLE TRIGGER USER")
    assert figures(sample()) == (1, 1)


def test_both_sides_equal_to_each_other_but_not_to_the_base_is_drift(world: World) -> None:
    (contact,) = linked(world, 1)
    ledger = world.ledger(contact)
    ledger.base["role_title"]["local"] = {"role_title": "Other"}
    SyncMetadata.objects.filter(pk=ledger.pk).update(base=ledger.base)
    assert figures(sample()) == (1, 1)


@pytest.mark.parametrize("action", ["archive", "delete"])
def test_an_item_that_is_gone_unnoticed_is_drift(world: World, action: str) -> None:
    (contact,) = linked(world, 1)
    world.sandbox.act(action, item_id=contact.monday_id)
    lose_webhooks(world)
    world.pass_time(minutes=20)
    found = sample()
    assert figures(found) == (1, 1)
    assert found is not None
    assert found.details[0]["fields"][0]["words"] in ("Its item is archived.", "Its item is deleted.")


def test_an_edit_of_the_last_minutes_is_on_its_way_and_no_drift(world: World) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    lose_webhooks(world)
    assert figures(sample()) == (2, 0)


def test_a_record_with_a_waiting_row_is_not_sampled(world: World) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    world.deliver()
    world.pass_time(minutes=20)
    assert figures(sample()) == (2, 0)


def test_a_record_that_is_saved_while_its_item_is_read_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contacts = linked(world)
    world.edit(contacts[0], "role_title", "Chair")
    lose_webhooks(world)
    world.pass_time(minutes=20)
    read = comparison._read_items

    def saved_meanwhile(board: Any, ids: Any) -> Any:
        items = read(board, ids)
        Contact.objects.filter(pk=contacts[0].pk).update(role_title="Chair")
        return items

    monkeypatch.setattr(comparison, "_read_items", saved_meanwhile)
    assert figures(sample()) == (2, 0)


def test_a_value_that_cannot_be_read_says_nothing_and_is_looked_at(world: World) -> None:
    contacts = linked(world)
    FieldMapping.objects.filter(key="role_title").update(column_id="not_there")
    SyncQueue.objects.all().delete()
    assert figures(sample()) == (0, 0)
    assert SyncQueue.objects.filter(entity_id__in=[c.pk for c in contacts], status="pending").count() == 3


def test_a_record_that_flows_nowhere_in_a_field_is_not_compared_there(world: World) -> None:
    (contact,) = linked(world, 1)
    FieldMapping.objects.filter(key="role_title").update(direction="none")
    world.edit(contact, "role_title", "Chair")
    lose_webhooks(world)
    world.pass_time(minutes=20)
    assert figures(sample()) == (1, 0)


def test_nothing_synced_is_nothing_to_sample_and_no_call(world: World) -> None:
    before = world.calls()
    assert sample() is None
    assert world.calls() == before


def test_the_days_calls_are_spread_and_boards_take_turns(world: World, settings: Any) -> None:
    settings.AUDIT_CALLS_A_DAY = 4
    linked(world)
    Organization.objects.create(name="Acme")
    world.work()
    world.hear()
    taken = []
    for _ in range(48):
        found = verify_if_due()
        taken += [found.entity_type] if found else []
        world.pass_time(minutes=30)
    assert sorted(taken) == ["contact", "contact", "organization", "organization"]
    assert taken[:2] == taken[2:]


def test_no_sample_is_taken_where_it_is_switched_off(world: World, settings: Any) -> None:
    settings.AUDIT_CALLS_A_DAY = 0
    linked(world)
    assert verify_if_due() is None
    assert "SYNC_AUDIT_CALLS_A_DAY" in latest_verification().summary(sync_now())


def test_a_paused_account_is_not_asked(world: World) -> None:
    linked(world)
    MondayAccount.objects.update(paused_until=SyncNow() + timedelta(hours=1))
    before = world.calls()
    assert verify_if_due() is None
    assert world.calls() == before


def test_a_sample_that_could_not_be_read_counts_as_a_call_and_verifies_nothing(world: World) -> None:
    linked(world)
    world.sandbox.faults({"status": 500})
    found = verify_if_due()
    assert found is not None
    assert (found.sampled, found.calls) == (0, 1)
    assert verify_if_due() is None
    assert latest_verification().at is None


def test_what_is_verified_is_said_in_words(world: World) -> None:
    contacts = linked(world)
    assert latest_verification().summary(sync_now()).startswith("Not verified yet")
    sample()
    world.pass_time(hours=2)
    assert (
        latest_verification("contact").summary(sync_now())
        == "Verified 2 hours ago: 3 of 3 checked records were the same on both sides."
    )
    world.edit(contacts[0], "role_title", "Chair")
    lose_webhooks(world)
    world.pass_time(minutes=20)
    sample()
    assert "1 of 6 checked records said “synced” and differed" in latest_verification().summary(sync_now())
