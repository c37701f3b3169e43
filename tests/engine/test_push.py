"""From NPD to the board."""

from typing import Any

import pytest

from npd.models import Contact
from sync.limits import MeteredClient
from sync.reconcile import act
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


def test_what_monday_fills_into_a_new_item_by_itself_is_taken_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.contact("Ann")
    real = MeteredClient.execute

    def filled(client: MeteredClient, document: str, variables: Any, **more: Any) -> Any:
        if "create_item" in document:
            variables = {**variables, "values_r0": variables["values_r0"][:-1] + ',"role_title":"Default"}'}
        return real(client, document, variables, **more)

    monkeypatch.setattr(MeteredClient, "execute", filled)
    world.work()
    assert world.status(contact) == "pending"
    world.work(seconds=11)
    assert (world.status(contact), contact.role_title) == ("synced", "Default")


def test_a_process_that_stood_still_after_its_announcement_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    original = act.commit_intents

    def frozen(executor: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(executor, *args, **kwargs)
        executor.intended_at -= 600
        return found

    with monkeypatch.context() as patch:
        patch.setattr(act, "commit_intents", frozen)
        before = world.calls("mutation")
        world.work()
        assert world.calls("mutation") == before
    world.settle()
    assert world.values(contact)["role_title"] == "Chair"


def test_a_process_that_stood_still_before_it_sends_a_create_again_sends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.contact("Ann")
    world.sandbox.faults({"timeout": "before"})
    world.work()
    world.wait_out()
    with monkeypatch.context() as patch:
        patch.setattr(act, "INTENT_SECONDS", -1)
        before = world.calls("mutation")
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
