"""Blocked fields on Home: each option is a button, and does on the board what it says."""

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pghistory
import responses
from django.test import Client

from npd.models import Contact
from sync.kernel.db import run_sql
from sync.models import ActivityLine, FieldMapping, WriteLoop
from sync.operations.activity_undo import is_undoable
from sync.outbox import pauses
from tests.admin import states
from tests.admin.test_records import words_of
from tests.drift.conftest import Owner
from tests.support.words import said
from tests.support.world import World

INBOX, ACT = "/admin/", "/admin/home/act/"
ROLE = "blocked:contact:role_title"
CHECK = {"act_and_key": f"check_column {ROLE}"}
EMPTY = "All is well"


def role() -> FieldMapping:
    return FieldMapping.objects.get(key="role_title", link__entity_type="contact")


def shown(client: Client) -> str:
    return unescape(words_of(client.get(INBOX).content.decode()))


def answer_to(client: Client, form: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The text that answers an act, and the hidden values of its question."""
    answer = client.post(ACT, {"back": INBOX, **form}, follow=True)
    hidden = re.findall(r'type="hidden"\s+name="([^"]+)"\s+value="([^"]*)"', answer.content.decode())
    return unescape(words_of(answer.content.decode())), {name: unescape(value) for name, value in hidden}


def gone(owner: Owner) -> None:
    owner.column("role_title", "delete")
    owner.sweep()


def replaced(owner: Owner) -> None:
    """The administrator chooses a new column in place of the one that is gone."""
    owner.world.sandbox.add_column(owner.world.board_id(), "position", "Role", "text")
    owner.sweep()
    owner.choose("lead", column="position")


def test_the_button_finds_a_restored_column(world: World, owner: Owner, admin: Client) -> None:
    contact = world.linked(role_title="Analyst")
    gone(owner)
    Contact.objects.filter(pk=contact.pk).update(role_title="Head")
    world.work()
    text = shown(admin)
    assert owner.mapping().problem.split(".")[0] in text
    inbox = admin.get(INBOX).content.decode()
    assert f"/board/{world.link().board_id}" in inbox
    assert 'value="check_column"' in inbox
    assert f'href="/admin/sync/boardlink/{world.link().pk}/change/"' in inbox
    assert "nothing has changed. Still blocked: Role." in answer_to(admin, CHECK)[0]
    owner.column("role_title", "restore")
    assert "Role: the column is back. Its field is synced again." in answer_to(admin, CHECK)[0]
    world.work()
    assert world.values(contact)["role_title"] == "Head"
    assert EMPTY in shown(admin)


@responses.activate
def test_monday_that_does_not_answer_is_said_and_nothing_changes(mapped: Client, settings: Any) -> None:
    FieldMapping.objects.filter(key="role_title").update(problem=said("Its column is gone."), problem_code="missing")
    responses.post(settings.MONDAY_API_URL, status=503)
    assert "503" in answer_to(mapped, CHECK)[0]
    assert role().problem_code == "missing"


def test_a_paused_board_is_not_asked_and_one_that_an_error_holds_is(world: World, owner: Owner, admin: Client) -> None:
    gone(owner)
    pauses.pause("anna", entity_type="contact", why="Moving")
    calls = world.calls()
    message, _ = answer_to(admin, CHECK)
    assert "NPD Sync didn't ask Monday: Paused by anna" in message
    assert world.calls() == calls
    pauses.resume("anna", entity_type="contact")
    states.stop_board("contact", datetime(2999, 1, 1, tzinfo=UTC), "A column is refused.")
    assert "Still blocked: Role." in answer_to(admin, CHECK)[0]
    assert world.calls() == calls + 1


def test_filling_a_new_column_is_nobodys_edit_and_an_edit_keeps_its_line(world: World, owner: Owner) -> None:
    world.administrator("lead")
    contact, untouched = world.linked(role_title="Analyst"), world.linked("Bob", role_title="Buyer")
    gone(owner)
    with pghistory.context(cause="import"):
        Contact.objects.filter(pk=contact.pk).update(role_title="Head")
    world.work()
    replaced(owner)
    world.work()
    edited, filled = (
        ActivityLine.objects.filter(kind="push", key="role_title", entity_id=record.pk).latest("pk")
        for record in (contact, untouched)
    )
    assert (edited.values["before"], edited.values["after"]) == ("Analyst", "Head")
    assert (filled.actor, filled.values["before"]) == ("lead", "")  # who chose the column
    assert "npd" not in filled.cause  # nobody's edit led to it
    assert not is_undoable(filled)


def looping(world: World, settings: Any) -> Contact:
    """A record whose role an automation rewrites after each of our writes, until that was too often."""
    settings.LOOP_TIMES = 2
    contact = world.linked("Ann", role_title="Ours")
    FieldMapping.objects.filter(key="role_title").update(direction="npd_to_monday")
    for _ in range(4):
        world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value="AUTOMATIC", user_id=-4)
        world.hear()
    assert WriteLoop.objects.get().throttled_until is not None
    return contact


def test_a_rewrite_is_counted_though_the_pass_gave_way_to_a_save(world: World, settings: Any) -> None:
    settings.LOOP_TIMES = 2
    # The first attempt to store a pass meets a lock after its loops are stored. Sequences don't roll back.
    run_sql("CREATE SEQUENCE attempts")
    run_sql(
        """CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('attempts') % 2 = 1 THEN RAISE EXCEPTION USING ERRCODE = '55P03'; END IF; RETURN NULL; END $$;
        CREATE TRIGGER give_way AFTER UPDATE OF sync_batch_id ON sync_metadata EXECUTE FUNCTION give_way()"""
    )
    assert looping(world, settings).sync_status


def test_a_loop_is_told_and_sent_again_at_once(world: World, admin: Client, settings: Any) -> None:
    assert EMPTY in shown(admin)
    contact = looping(world, settings)
    text, retry = shown(admin), {"act_and_key": f"retry_field blocked:contact:{contact.pk}:role_title"}
    assert "Rewritten on the board by Monday user -4, so nothing is sent to it until" in text
    assert "Monday wins…" not in text
    html = admin.get(INBOX).content.decode()
    assert f"/admin/npd/contact/{contact.pk}/change/#npd-turn_sync_off" in html
    assert html.count("data-row") == 1
    answer_to(admin, retry)
    world.work()
    assert (world.values(contact)["role_title"], world.status(contact)) == ("Ours", "synced")
    assert not WriteLoop.objects.filter(throttled_until__isnull=False).exists()
    assert "Nothing was done" in answer_to(admin, retry)[0]
