"""`monday_setup` against the sandbox, over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from npd.models import Contact
from sync.choices import Cause
from sync.clock import sync_now
from sync.limits import breaker
from sync.limits.api_quota import midnight_after
from sync.limits.credentials import webhook_secrets
from sync.models import (
    ActivityLine,
    Attention,
    BoardLink,
    FieldMapping,
    IgnoredItem,
    MondayAccount,
    SyncQueue,
    UnmatchedItem,
)
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.client import MondayClient
from sync.monday.errors import BOARD_FULL, MondayError
from sync.operations.setup.board_setup import switch_board
from tests.admin import states
from tests.support.sandbox import Sandbox
from tests.support.waiting import at_once
from tests.support.words import said
from tests.support.world import World

pytestmark = pytest.mark.django_db

Run = Callable[..., str]
CONTACT_COLUMNS = {"email": "email", "phone": "phone", "role_title": "text", "notes": "long_text", "npd_id": "text"}


def columns_of(monday: Sandbox, board_id: str) -> dict[str, str]:
    board = next(board for board in monday.boards() if board["id"] == board_id)
    return {column["id"]: column["type"] for column in board["columns"] if column["type"] != "name"}


def webhooks_of(monday: Sandbox, board_id: str) -> list[str]:
    hooks = monday.control("webhooks", "GET")["webhooks"]
    return sorted(hook["event"] for hook in hooks if hook["board_id"] == board_id)


def mutations_since(monday: Sandbox, mark: int) -> list[str]:
    calls = monday.control("calls", "GET", since=mark)
    return [name for call in calls if call["kind"] == "mutation" for name in call["fields"]]


def last_call(monday: Sandbox) -> int:
    return max((call["id"] for call in monday.control("calls", "GET")), default=0)


def contacts_link() -> BoardLink:
    return BoardLink.objects.get(entity_type="contact")


def test_it_makes_both_boards_and_stores_what_the_engine_needs(monday: Sandbox, run: Run) -> None:
    states.stop_account(datetime(2999, 1, 1, tzinfo=UTC), failures=9, needs_probe=True)
    run("monday_setup")
    link, organizations = contacts_link(), BoardLink.objects.get(entity_type="organization")
    assert columns_of(monday, link.board_id) == CONTACT_COLUMNS
    assert columns_of(monday, organizations.board_id) == {"address": "text", "notes": "long_text", "npd_id": "text"}
    for board in (link, organizations):
        assert webhooks_of(monday, board.board_id) == sorted(WEBHOOK_EVENTS)
        assert (board.creates_records, bool(board.group_id)) == (True, True)
    assert (link.npd_id_column, link.match_key, link.shape["name"]) == ("npd_id", "email", "Contacts")
    assert link.shape["columns"]["npd_id"]["title"] == "NPD ID"
    mapped = {mapping.key: (mapping.column_id, mapping.version) for mapping in link.mappings.all()}
    assert mapped == {key: (key, 1) for key in ("name", "email", "phone", "role_title", "notes")}
    expected = ({}, {"column_type": "email", "settings": {}})
    assert (link.mappings.get(key="name").options, link.mappings.get(key="email").options) == expected
    account = MondayAccount.objects.get()
    assert account.stop is None
    assert account.version_answered == "2026-10"
    assert account.user_id == monday.query("{ me { id } }")["data"]["me"]["id"]
    assert account.users[account.user_id]["email"]
    keys = [call["idempotency_key"] for call in monday.calls() if call["kind"] == "mutation"]
    assert None not in keys
    assert len(set(keys)) == len(keys) > 10


def test_a_second_run_changes_nothing_and_prints_the_board_ids_where_asked(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    links, mark = BoardLink.objects.order_by("pk"), last_call(monday)

    def stored_links() -> list[Any]:
        shapes = [link.shape for link in links.all()]
        assert all(shape.pop("checked_at") for shape in shapes)
        return [list(links.values(*columns)), shapes]

    columns = [field.name for field in BoardLink._meta.concrete_fields if field.name != "shape"]
    stored = stored_links()
    output = run("monday_setup", "--print-env")
    assert output.count("nothing to do") == 2
    assert f"MONDAY_CONTACTS_BOARD_ID={contacts_link().board_id}" in output.splitlines()
    assert mutations_since(monday, mark) == []
    assert stored_links() == stored


def test_what_an_administrator_changes_while_the_board_is_read_stays(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    execute, reads = MondayClient.execute, list[str]()
    emails = FieldMapping.objects.filter(link__entity_type="contact", key="email")
    only = {"records": [{"field": "role_title", "op": "is", "values": ["Customer"], "labels": ["Customer"]}]}

    def meanwhile(self: MondayClient, document: str, variables: Any, **more: Any) -> Any:
        reads.extend(variables.get("ids", ()))
        if "ids" in variables and reads.count(contacts_link().board_id) == 2:  # after what is stored was read
            emails.update(rule="npd_wins", direction="npd_to_monday", label="Mail")
            BoardLink.objects.filter(entity_type="contact").update(creates_records=False, sync_filter=only)
        return execute(self, document, variables, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MondayClient, "execute", meanwhile)
        run("monday_setup")
    assert emails.values_list("rule", "direction", "label").get() == ("npd_wins", "npd_to_monday", "Mail")
    assert (contacts_link().creates_records, contacts_link().sync_filter) == (False, only)
    assert "the filter lets through: Records where Role is “Customer”." in run("monday_setup")


def test_a_board_named_in_settings_wins_with_its_columns(monday: Sandbox, run: Run, settings: Any) -> None:
    run("monday_setup")
    IgnoredItem.objects.create(entity_type="contact", item_id="1", reason=said("on the old board"))
    UnmatchedItem.objects.create(entity_type="contact", item_id="2", name="on the old board", reason_code="no_key")
    board_id = monday.add_board("Ours", ("mail_addr", "Email", "email"), ("phone", "Old phone", "text"))
    settings.MONDAY_CONTACTS_BOARD_ID = board_id
    run("monday_setup")
    link = contacts_link()
    assert (link.board_id, link.creates_records) == (board_id, False)
    line = ActivityLine.objects.get(kind="settings", entity_type="contact")
    assert line.actor == "manage.py monday_setup"
    assert f"→ “Ours ({board_id})”" in str(line)
    assert ("→ “Old phone”" in str(line), "Email: " in str(line), "Name: " in str(line)) == (True, False, False)
    assert link.mappings.get(key="email").column_id == "mail_addr"
    assert columns_of(monday, board_id)[link.mappings.get(key="phone").column_id] == "phone"
    assert webhooks_of(monday, board_id) == sorted(WEBHOOK_EVENTS)
    assert IgnoredItem.objects.get().item_id == "1"  # in case the old board returns
    assert not UnmatchedItem.objects.exists()


def test_webhooks_go_to_a_secret_url(monday: Sandbox, run: Run, settings: Any, receiver: list[str]) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "the-token"
    output = run("monday_setup")
    before = contacts_link().webhooks
    assert set(receiver) == {"/webhooks/monday/the-token/"}
    assert "the-token" not in output + str(list(BoardLink.objects.values()))
    settings.MONDAY_WEBHOOK_TOKEN = ""
    run("monday_setup")
    assert receiver[-1] == "/webhooks/monday/"
    assert webhooks_of(monday, contacts_link().board_id) == sorted(WEBHOOK_EVENTS)
    assert not set(before) & set(contacts_link().webhooks)


def test_without_a_secret_one_is_generated_so_that_deliveries_are_accepted(
    monday: Sandbox, run: Run, settings: Any, receiver: list[str], client: Client
) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = settings.MONDAY_SIGNING_SECRET = ""
    assert "stored a generated secret" in run("monday_setup")
    [path] = set(receiver)
    token, _ = webhook_secrets()
    assert path == f"/webhooks/monday/{token}/"
    delivery = {"event": {"type": "create_pulse", "boardId": int(contacts_link().board_id), "pulseId": 7}}
    for address, status in (path, 200), ("/webhooks/monday/", 403), (path.replace(token, "another-token"), 401):
        assert client.post(address, delivery, content_type="application/json").status_code == status
    before = contacts_link().webhooks
    assert "generated" not in run("monday_setup")
    assert (contacts_link().webhooks, webhook_secrets()[0]) == (before, token)


def test_an_unreachable_address_is_told_and_the_rest_is_done(monday: Sandbox, run: Run, settings: Any) -> None:
    good, settings.SITE_URL = settings.SITE_URL, "http://127.0.0.1:18260"
    with pytest.raises(CommandError) as refused:
        run("monday_setup")
    assert str(refused.value).count("webhooks could not be registered") == 2
    assert settings.MONDAY_WEBHOOK_TOKEN not in str(refused.value)
    assert columns_of(monday, contacts_link().board_id) == CONTACT_COLUMNS
    settings.SITE_URL = good
    run("monday_setup")
    assert webhooks_of(monday, contacts_link().board_id) == sorted(WEBHOOK_EVENTS)
    assert len(monday.boards()) == 2


@pytest.mark.django_db(transaction=True)
def test_columns_that_were_made_anew_are_filled_and_nobody_says_synced_before(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    people = [Contact.objects.create(name=name, phone="+44 20 7946 0018") for name in ("Ann", "Bo")]
    off = Contact.objects.create(name="Otto", phone="+44 20 7946 0019")
    run("sync_drain")
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    run("sync_drain")
    board_id = contacts_link().board_id
    for column in ("phone", "npd_id"):
        monday.delete_column(board_id, column)
    output = run("monday_setup")
    assert f"Contacts (board {board_id}): 2 contacts will be synced again" in output
    mappings = FieldMapping.objects.filter(link__entity_type="contact")
    assert set(mappings.values_list("key", flat=True).filter(version=2)) == {"phone"}
    rows = SyncQueue.objects.filter(status="pending").values_list("entity_id", "direction", "priority", "causes")
    assert set(rows) == {(person.pk, "to_npd", 30, int(Cause.SWEEP)) for person in people}
    assert set(Contact.objects.exclude(pk=off.pk).values_list("sync_status", flat=True)) == {"pending"}
    run("sync_drain")
    phone = mappings.get(key="phone").column_id
    assert columns_of(monday, board_id)[phone] == "phone"
    for person in people:
        item = monday.item_named(person.name)
        assert item is not None
        assert item["values"][contacts_link().npd_id_column] == str(person.pk)
        assert "7946 0018" in item["values"][phone] or "2079460018" in item["values"][phone]
        person.refresh_from_db()
        assert (person.phone, person.sync_status) == ("+44 20 7946 0018", "synced")
    assert "will be synced again" not in run("monday_setup")


def test_a_group_that_is_gone_and_a_column_that_changed_its_type_are_replaced(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    link = contacts_link()
    topmost = link.group_id
    BoardLink.objects.filter(pk=link.pk).update(group_id="gone")
    FieldMapping.objects.filter(link=link, key="phone").update(column_id="role_title")
    run("monday_setup")
    assert contacts_link().group_id == topmost
    phone = link.mappings.get(key="phone")
    assert columns_of(monday, link.board_id)[phone.column_id] == "phone"


# Optional fields.


def mapping(entity_type: str, key: str) -> FieldMapping:
    return FieldMapping.objects.get(link__entity_type=entity_type, key=key)


def test_an_optional_field_is_synced_once_somebody_has_made_its_column(monday: Sandbox, run: Run) -> None:
    assert "synced without a column: organization.aliases, organization.inventory_url" in run("monday_setup")
    assert not FieldMapping.objects.filter(key__in=["aliases", "organization", "inventory_url"]).exists()
    board_id = BoardLink.objects.get(entity_type="organization").board_id
    monday.add_column(contacts_link().board_id, "firm", "Organization", "board_relation", boardIds=[board_id])
    assert "Organization is synced now, with the column “Organization” (firm, board_relation)" in run("monday_setup")
    assert mapping("contact", "organization").options["settings"]["boardIds"] == [int(board_id)]
    assert run("monday_setup").count("nothing to do") == 2
    assert "ok" in run("monday_check")


def test_an_optional_field_gets_a_column_where_somebody_asks_for_it(monday: Sandbox, run: Run) -> None:
    with pytest.raises(CommandError, match=r"no optional field “contact.shoe_size”.*contact\.organization"):
        run("monday_setup", "--with", "contact.shoe_size")
    output = run("monday_setup", "--with", "contact.organization", "--with", "organization.aliases")
    assert columns_of(monday, contacts_link().board_id)["organization"] == "board_relation"
    assert mapping("organization", "aliases").converter == "list_text"
    assert "contact.organization" not in output
    assert run("monday_setup").count("nothing to do") == 2


def test_what_somebody_stores_while_a_board_is_made_stays() -> None:
    link = BoardLink.objects.create(entity_type="contact", match_key="email")
    BoardLink.objects.update(setup={"state": "running"}, pause={"by": "dora"})
    switch_board(link, "2", created=True)
    stored = BoardLink.objects.values("board_id", "creates_records", "setup", "pause").get()
    assert stored == {"board_id": "2", "creates_records": True, "setup": {"state": "running"}, "pause": {"by": "dora"}}


def test_what_a_full_board_refused_doesnt_stop_the_board_that_replaces_it(
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    link = BoardLink.objects.create(entity_type="contact", match_key="email", board_id="1")
    breaker.stop_board(link, MondayError(BOARD_FULL, "The board is full"), "create")
    tomorrow = midnight_after(sync_now())
    SyncQueue.objects.create(entity_type="contact", entity_id=uuid4(), waits_for_writes=True, next_retry=tomorrow)
    with django_capture_on_commit_callbacks(execute=True):
        switch_board(link, "2", created=True)
    assert (BoardLink.objects.get().stops, Attention.objects.count()) == ({}, 0)
    assert ActivityLine.objects.latest("id").sentence == "The sync runs again: Contacts."
    assert SyncQueue.objects.get().next_retry <= sync_now()


def test_of_two_first_set_ups_at_once_one_is_done(world: World) -> None:
    world.sandbox.reset()
    BoardLink.objects.all().delete()

    def set_up_once() -> str:
        try:
            call_command("monday_setup")
        except CommandError as error:
            return str(error)
        return ""

    outcomes = at_once(set_up_once, set_up_once)
    assert sorted("another set-up is running" in outcome for outcome in outcomes) == [False, True]
    assert sorted(board["name"] for board in world.sandbox.boards()) == ["Contacts", "Organizations"]
    assert columns_of(world.sandbox, contacts_link().board_id) == CONTACT_COLUMNS
