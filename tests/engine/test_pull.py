"""From the board to NPD: webhooks say that something may differ, what is written was read."""

import pytest

from npd.models import Contact, ContactEvent, Organization
from sync.models import Decision, WebhookEvent
from tests.engine.conftest import World


def test_an_edit_on_the_board_comes_back(world: World) -> None:
    contact = world.linked(role_title="Boss", phone="+442079460018")
    world.edit(contact, "role_title", "Chair")
    world.deliver()
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Chair")


def test_a_renamed_item_renames_the_contact(world: World) -> None:
    contact = world.linked("Old")
    world.edit(contact, "name", "New")
    world.deliver()
    world.work()
    assert (world.status(contact), contact.name) == ("synced", "New")


def test_a_cell_emptied_on_the_board_empties_the_field(world: World) -> None:
    contact = world.linked(phone="+442079460018", notes="n")
    world.edit(contact, "phone", None)
    world.deliver()
    world.work()
    assert (world.status(contact), contact.phone, contact.notes) == ("synced", "", "n")


def test_our_own_echo_ends_without_a_call(world: World) -> None:
    contact = world.linked(role_title="Boss")
    contact.role_title = "Chair"
    contact.save()
    world.work()
    before = world.calls()
    assert world.deliver() > 0
    world.work()
    assert world.calls() == before
    assert world.status(contact) == "synced"
    assert not WebhookEvent.objects.filter(weighed_at=None).exists()


def test_the_echo_of_our_own_create_ends_without_a_call(world: World) -> None:
    contact = world.contact(email="ann@example.com", phone="+44 20 7946 0018", notes="n")
    world.work()
    before = world.calls()
    assert world.deliver() > 0
    world.work()
    assert world.calls() == before
    assert world.status(contact) == "synced"


def test_a_payload_is_never_written_only_what_was_read(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Interim")
    world.edit(contact, "role_title", "Chair")
    world.deliver()
    world.work()
    assert world.status(contact) == "synced"
    assert contact.role_title == "Chair"
    assert not ContactEvent.objects.filter(role_title="Interim").exists()


def test_deliveries_that_come_twice_change_nothing_more(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    world.deliver(times=3)
    world.work()
    calls = world.calls()
    for body, authorization, path in world.delivered:
        from sync import inbox

        token = path.rstrip("/").rsplit("/", 1)[-1]
        assert inbox.receive(body, authorization=authorization, path_token=token, path=path).status == 200
    world.work()
    assert world.calls() == calls
    assert world.status(contact) == "synced"


def test_a_change_that_came_without_a_webhook_is_found_by_the_next_look(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    world.look(contact)
    assert (world.status(contact), contact.role_title) == ("synced", "Chair")


def test_changes_of_different_fields_on_both_sides_both_arrive(world: World) -> None:
    contact = world.linked(role_title="Boss", notes="old")
    world.edit(contact, "notes", "from the board")
    contact.role_title = "Chair"
    contact.save()
    world.work()
    assert world.status(contact) == "synced"
    assert contact.notes == "from the board"
    assert world.values(contact)["role_title"] == "Chair"


def test_the_same_change_on_both_sides_is_agreed_without_a_write(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    contact.role_title = "Chair"
    contact.save()
    mutations = world.calls("mutation")
    world.work()
    assert world.calls("mutation") == mutations
    assert world.status(contact) == "synced"


def test_a_pulled_change_is_in_the_history_with_its_cause(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    world.look(contact)
    event = ContactEvent.objects.filter(role_title="Chair").get()
    assert event.pgh_context is not None
    assert event.pgh_context.metadata["cause"] == "sync"
    assert Decision.objects.filter(entity_id=contact.pk, kind="pull", key="role_title").exists()


def test_the_log_says_which_monday_user_edited(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.sandbox.act(
        "edit", item_id=contact.monday_id, column_id="role_title", text="Chair", user_id=67210012
    )
    world.deliver()
    world.work()
    line = Decision.objects.get(entity_id=contact.pk, kind="pull")
    assert line.actor == "Monday user 67210012"


def test_a_save_between_read_and_settle_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    world.edit(contact, "role_title", "From Monday")
    from sync import engine

    original = engine.settle

    def save_first(*args: object) -> None:
        Contact.objects.filter(pk=contact.pk).update(role_title="Typed meanwhile")
        monkeypatch.setattr(engine, "settle", original)
        original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "settle", save_first)
    world.look(contact)
    assert (world.status(contact), contact.role_title) == ("conflict", "Typed meanwhile")
    assert world.values(contact)["role_title"] == "From Monday"


def test_an_address_edited_on_the_board_comes_back_into_its_parts(world: World) -> None:
    organization = Organization.objects.create(
        name="Example Ltd", address_street="12 Main St", address_city="Springfield", address_country="USA"
    )
    world.work()
    world.edit(organization, "address", "14 Main St, Springfield, USA")
    world.look(organization)
    assert world.status(organization) == "synced"
    assert (organization.address_street, organization.address_city) == ("14 Main St", "Springfield")


def test_an_address_that_cannot_be_split_for_certain_is_asked_about(world: World) -> None:
    organization = Organization.objects.create(
        name="Example Ltd", address_street="12 Main St", address_city="Springfield"
    )
    world.work()
    world.edit(organization, "address", "Floor 3, 14 Main St, Springfield, IL")
    world.look(organization)
    assert world.status(organization) == "conflict"
    assert (organization.address_street, organization.address_city) == ("12 Main St", "Springfield")


def test_a_value_that_npd_cannot_hold_is_held_and_the_others_flow(world: World) -> None:
    contact = world.linked(role_title="Boss", notes="old")
    world.edit(contact, "role_title", "x" * 300)
    world.edit(contact, "notes", "new")
    world.look(contact)
    assert world.status(contact) == "pending"
    assert (contact.role_title, contact.notes) == ("Boss", "new")
    assert "role_title" in world.ledger(contact).held


@pytest.mark.parametrize(("action", "word"), [("archive", "archived"), ("delete", "deleted")])
def test_an_item_taken_away_changes_nothing_and_the_record_says_so(
    world: World, action: str, word: str
) -> None:
    contact = world.linked(role_title="Boss")
    world.sandbox.act(action, item_id=contact.monday_id)
    world.deliver()
    world.work()
    assert world.status(contact) == "pending"
    assert word in world.ledger(contact).note
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.work()
    assert world.values(contact)["role_title"] == "Boss"
    assert world.status(contact) == "pending"


def test_a_restored_item_flows_again(world: World) -> None:
    contact = world.linked(role_title="Boss")
    world.sandbox.act("archive", item_id=contact.monday_id)
    world.deliver()
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.work()
    world.sandbox.act("restore", item_id=contact.monday_id)
    world.deliver()
    world.work()
    assert world.status(contact) == "synced"
    assert world.values(contact)["role_title"] == "Chair"


def test_one_way_to_monday_writes_an_edit_on_the_board_over_and_keeps_it_in_the_history(world: World) -> None:
    contact = world.linked(role_title="Boss", sync_direction="npd_to_monday")
    world.edit(contact, "role_title", "Edited on the board")
    world.deliver()
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Boss")
    assert world.values(contact)["role_title"] == "Boss"
    assert Decision.objects.filter(entity_id=contact.pk, values__before="Edited on the board").exists()


def test_one_way_to_npd_never_writes_the_board(world: World) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(sync_direction="monday_to_npd", role_title="Mine")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Boss")
    assert world.values(contact)["role_title"] == "Boss"
