"""`monday_setup` against the sandbox, over HTTP."""

from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.test import Client

from npd.models import Contact
from sync.choices import Cause
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.webhooks import WEBHOOK_EVENTS
from sync.models import BoardLink, FieldMapping, MondayAccount, RefusedItem, SyncQueue
from tests.support.sandbox import Sandbox

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


def a_board(monday: Sandbox, *columns: tuple[str, str, str]) -> str:
    """A board that people made by hand, with columns (id, title, type)."""
    made = monday.query('mutation { create_board(board_name: "Ours", board_kind: public, empty: true) { id } }')
    board_id: str = made["data"]["create_board"]["id"]
    for column_id, title, kind in columns:
        answer = monday.query(
            "mutation ($b: ID!, $i: String!, $t: String!, $k: ColumnType!)"
            " { create_column(board_id: $b, id: $i, title: $t, column_type: $k) { id } }",
            b=board_id,
            i=column_id,
            t=title,
            k=kind,
        )
        assert "errors" not in answer, answer
    return board_id


def test_it_makes_both_boards_with_their_columns_and_webhooks(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    link = contacts_link()
    assert columns_of(monday, link.board_id) == CONTACT_COLUMNS
    assert webhooks_of(monday, link.board_id) == sorted(WEBHOOK_EVENTS)
    organizations = BoardLink.objects.get(entity_type="organization")
    assert columns_of(monday, organizations.board_id) == {"address": "text", "notes": "long_text", "npd_id": "text"}
    assert webhooks_of(monday, organizations.board_id) == sorted(WEBHOOK_EVENTS)


def test_it_stores_what_the_engine_needs(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    link = contacts_link()
    assert (link.npd_id_column, link.match_key) == ("npd_id", "email")
    assert link.group_id
    mapped = {mapping.key: (mapping.column_id, mapping.version) for mapping in link.mappings.all()}
    assert mapped == {
        "name": ("name", 1),
        "email": ("email", 1),
        "phone": ("phone", 1),
        "role_title": ("role_title", 1),
        "notes": ("notes", 1),
    }


def test_records_may_be_created_from_items_of_boards_that_it_made_itself(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    assert set(BoardLink.objects.values_list("made_by_setup", "creates_records")) == {(True, True)}


def test_boards_and_columns_have_their_names_right_after_the_set_up(
    monday: Sandbox, run: Run, admin_client: Client
) -> None:
    run("monday_setup")
    link = contacts_link()
    page = admin_client.get(f"/admin/sync/boardlink/{link.pk}/change/").content.decode()
    assert f"“Contacts” {link.board_id}" in page
    assert f"NPD ID ({link.npd_id_column})" in page


def test_it_remembers_who_the_token_belongs_to(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    me = monday.query("{ me { id } }")["data"]["me"]["id"]
    assert MondayAccount.objects.get().user_id == me


def test_a_second_run_has_nothing_to_do_and_changes_nothing(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    stored, mark = list(BoardLink.objects.order_by("pk").values()), last_call(monday)
    said = run("monday_setup")
    assert said.count("nothing to do") == 2
    assert mutations_since(monday, mark) == []
    assert list(BoardLink.objects.order_by("pk").values()) == stored


def test_print_env_prints_the_board_ids_on_lines_of_their_own(monday: Sandbox, run: Run) -> None:
    lines = run("monday_setup", "--print-env").splitlines()
    assert f"MONDAY_CONTACTS_BOARD_ID={contacts_link().board_id}" in lines
    organizations = BoardLink.objects.get(entity_type="organization")
    assert f"MONDAY_ORGANIZATIONS_BOARD_ID={organizations.board_id}" in lines


def test_what_an_administrator_changed_stays(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    changed = FieldMapping.objects.filter(link__entity_type="contact", key="email")
    changed.update(rule="npd_wins", direction="npd_to_monday", label="Mail", position=9)
    made = monday.query(
        'mutation ($b: ID!) { create_group(board_id: $b, group_name: "Elsewhere") { id } }', b=contacts_link().board_id
    )
    elsewhere = made["data"]["create_group"]["id"]
    BoardLink.objects.filter(entity_type="contact").update(creates_records=False, group_id=elsewhere)
    run("monday_setup")
    assert changed.values_list("rule", "direction", "label", "position").get() == (
        "npd_wins",
        "npd_to_monday",
        "Mail",
        9,
    )
    assert (contacts_link().creates_records, contacts_link().group_id) == (False, elsewhere)


def test_a_board_named_in_the_settings_is_used_with_the_columns_it_has(
    monday: Sandbox, run: Run, settings: Any
) -> None:
    board_id = a_board(monday, ("mail_addr", "Email", "email"), ("phone", "Old phone", "text"))
    settings.MONDAY_CONTACTS_BOARD_ID = board_id
    said = run("monday_setup")
    link = contacts_link()
    assert link.board_id == board_id
    assert link.mappings.get(key="email").column_id == "mail_addr"
    phone = link.mappings.get(key="phone").column_id
    assert columns_of(monday, board_id)[phone] == "phone"
    assert f"now works with board {board_id}" in said
    assert "uses the column “Email” (mail_addr) that was there" in said


def test_on_a_board_of_other_peoples_no_item_becomes_a_record_by_itself(
    monday: Sandbox, run: Run, settings: Any
) -> None:
    settings.MONDAY_CONTACTS_BOARD_ID = a_board(monday)
    run("monday_setup")
    assert (contacts_link().made_by_setup, contacts_link().creates_records) == (False, False)


def test_a_board_of_the_settings_wins_over_the_stored_one(monday: Sandbox, run: Run, settings: Any) -> None:
    run("monday_setup")
    RefusedItem.objects.create(entity_type="contact", item_id="1", reason="on the old board")
    settings.MONDAY_CONTACTS_BOARD_ID = a_board(monday)
    run("monday_setup")
    link = contacts_link()
    assert link.board_id == settings.MONDAY_CONTACTS_BOARD_ID
    assert webhooks_of(monday, link.board_id) == sorted(WEBHOOK_EVENTS)
    assert (link.made_by_setup, link.creates_records) == (False, False)
    assert not RefusedItem.objects.exists()


def test_a_column_that_was_deleted_is_made_anew_and_its_mapping_gets_a_new_version(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    board_id = contacts_link().board_id
    monday.query('mutation ($b: ID!) { delete_column(board_id: $b, column_id: "phone") { id } }', b=board_id)
    said = run("monday_setup")
    phone = FieldMapping.objects.get(link__entity_type="contact", key="phone")
    assert phone.column_id != "phone"
    assert columns_of(monday, board_id)[phone.column_id] == "phone"
    assert phone.version == 2
    assert "Phone is now in the column" in said
    others = FieldMapping.objects.filter(link__entity_type="contact").exclude(key="phone")
    assert set(others.values_list("version", flat=True)) == {1}


def test_webhooks_go_to_the_secret_address_when_there_is_a_token(
    monday: Sandbox, run: Run, settings: Any, receiver: ThreadingHTTPServer
) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "the-token"
    run("monday_setup")
    assert set(receiver.paths) == {"/webhooks/monday/the-token/"}  # type: ignore[attr-defined]


def test_webhooks_go_to_the_bare_address_without_a_token(
    monday: Sandbox, run: Run, settings: Any, receiver: ThreadingHTTPServer
) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = ""
    run("monday_setup")
    assert set(receiver.paths) == {"/webhooks/monday/"}  # type: ignore[attr-defined]


def test_the_token_in_the_webhooks_address_is_neither_printed_nor_stored(
    monday: Sandbox, run: Run, settings: Any
) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "the-token"
    said = run("monday_setup", "--print-env")
    assert "the-token" not in said + str(list(BoardLink.objects.values()))


def test_another_address_replaces_the_webhooks_of_the_old_one(monday: Sandbox, run: Run, settings: Any) -> None:
    run("monday_setup")
    before = contacts_link().webhooks
    settings.MONDAY_WEBHOOK_TOKEN = "another-token"
    run("monday_setup")
    assert webhooks_of(monday, contacts_link().board_id) == sorted(WEBHOOK_EVENTS)
    assert not set(before) & set(contacts_link().webhooks)


def test_webhooks_that_others_made_are_left_alone(monday: Sandbox, run: Run, settings: Any) -> None:
    board_id = settings.MONDAY_CONTACTS_BOARD_ID = a_board(monday)
    monday.query(
        "mutation ($b: ID!, $u: String!) { create_webhook(board_id: $b, url: $u, event: create_item) { id } }",
        b=board_id,
        u=f"{settings.SITE_URL}/somebody-elses/",
    )
    run("monday_setup")
    run("monday_setup")
    assert webhooks_of(monday, board_id) == sorted([*WEBHOOK_EVENTS, "create_item"])


def test_an_address_that_monday_cannot_reach_is_said_after_everything_else_is_done(
    monday: Sandbox, run: Run, settings: Any
) -> None:
    settings.SITE_URL = "http://127.0.0.1:18260"
    with pytest.raises(CommandError) as refused:
        run("monday_setup")
    assert str(refused.value).count("webhooks could not be registered") == 2
    assert "start the web process" in str(refused.value)
    assert settings.MONDAY_WEBHOOK_TOKEN not in str(refused.value)
    assert columns_of(monday, contacts_link().board_id) == CONTACT_COLUMNS


def test_a_run_after_the_address_was_mended_makes_each_webhook_once(monday: Sandbox, run: Run, settings: Any) -> None:
    good, settings.SITE_URL = settings.SITE_URL, "http://127.0.0.1:18260"
    with pytest.raises(CommandError):
        run("monday_setup")
    settings.SITE_URL = good
    run("monday_setup")
    assert webhooks_of(monday, contacts_link().board_id) == sorted(WEBHOOK_EVENTS)
    assert len(monday.boards()) == 2


def test_a_run_that_was_interrupted_after_making_the_board_goes_on_with_that_board(monday: Sandbox, run: Run) -> None:
    monday.faults(*[{"status": 500, "on": "create_column"}] * 2)  # one is asked for again
    with pytest.raises(CommandError):
        run("monday_setup")
    run("monday_setup")
    assert sorted(board["name"] for board in monday.boards()) == ["Contacts", "Organizations"]
    assert BoardLink.objects.filter(made_by_setup=True, creates_records=True).count() == 2


def test_a_board_that_was_made_and_could_not_be_read_is_not_made_again(monday: Sandbox, run: Run) -> None:
    monday.faults({"status": 500, "on": "boards"})
    with pytest.raises(CommandError):
        run("monday_setup")
    assert len(monday.boards()) == 1
    run("monday_setup")
    assert sorted(board["name"] for board in monday.boards()) == ["Contacts", "Organizations"]
    assert BoardLink.objects.filter(made_by_setup=True, creates_records=True).count() == 2
    assert all(link.group_id for link in BoardLink.objects.all())


def test_a_run_that_was_killed_among_the_webhooks_remembers_those_it_made(
    monday: Sandbox, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, made = MondayClient.execute, []

    def killed(self: MondayClient, document: str, variables: Any, **more: Any) -> Any:
        if "create_webhook" in document:
            made.append(variables["event"])
        if len(made) > 3:
            raise KeyboardInterrupt
        return original(self, document, variables, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MondayClient, "execute", killed)
        with pytest.raises(KeyboardInterrupt):
            run("monday_setup")
    run("monday_setup")
    for link in BoardLink.objects.all():
        assert webhooks_of(monday, link.board_id) == sorted(WEBHOOK_EVENTS)


def test_another_board_is_worked_only_once_its_columns_are_stored(
    monday: Sandbox, run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("monday_setup")
    before = contacts_link().board_id
    settings.MONDAY_CONTACTS_BOARD_ID = a_board(monday)
    original = MondayClient.execute

    def killed(self: MondayClient, document: str, variables: Any, **more: Any) -> Any:
        if "create_column" in document:
            raise KeyboardInterrupt
        return original(self, document, variables, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MondayClient, "execute", killed)
        with pytest.raises(KeyboardInterrupt):
            run("monday_setup")
    assert BoardLink.objects.get(entity_type="contact").board_id == before
    assert f"now works with board {settings.MONDAY_CONTACTS_BOARD_ID}" in run("monday_setup")
    assert BoardLink.objects.get(entity_type="contact").board_id == settings.MONDAY_CONTACTS_BOARD_ID


@pytest.mark.django_db(transaction=True)
def test_an_npd_id_column_that_was_made_anew_is_filled(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    person = Contact.objects.create(name="Ann")
    run("sync_drain")
    link = contacts_link()
    monday.query(
        "mutation ($b: ID!, $c: String!) { delete_column(board_id: $b, column_id: $c) { id } }",
        b=link.board_id,
        c=link.npd_id_column,
    )
    assert "1 contact will be looked at again" in run("monday_setup")
    run("sync_drain")
    item = monday.item_named("Ann")
    assert item is not None
    assert item["values"][contacts_link().npd_id_column] == str(person.pk)


def test_without_a_token_it_says_where_to_get_one(run: Run, settings: Any) -> None:
    settings.MONDAY_API_KEY = ""
    with pytest.raises(CommandError, match="Set MONDAY_API_KEY"):
        run("monday_setup")


def test_a_wrong_token_is_said_with_what_to_do(monday: Sandbox, run: Run, settings: Any) -> None:
    settings.MONDAY_API_KEY = "not-the-token"
    with pytest.raises(CommandError, match="Set MONDAY_API_KEY to a valid API token") as refused:
        run("monday_setup")
    assert "not-the-token" not in str(refused.value)


def test_monday_being_away_is_said_with_what_to_do(run: Run, settings: Any) -> None:
    settings.MONDAY_API_URL = "http://127.0.0.1:18261/v2"
    with pytest.raises(CommandError, match="Check the network and MONDAY_API_URL"):
        run("monday_setup")


@pytest.mark.parametrize("gone", ["delete_board", "archive_board"])
def test_a_board_that_is_gone_is_said_and_not_replaced(monday: Sandbox, run: Run, gone: str) -> None:
    run("monday_setup")
    board_id = contacts_link().board_id
    monday.query(f"mutation ($b: ID!) {{ {gone}(board_id: $b) {{ id }} }}", b=board_id)
    with pytest.raises(CommandError, match=f"board {board_id} is not on Monday any more") as refused:
        run("monday_setup")
    assert "MONDAY_CONTACTS_BOARD_ID" in str(refused.value)
    assert len(monday.boards()) == 2


def test_success_ends_a_pause_that_an_outage_has_left(monday: Sandbox, run: Run) -> None:
    MondayAccount.objects.create(
        id=1, needs_probe=True, pause_reason="away", failures=9, paused_until="2999-01-01T00:00:00Z"
    )
    run("monday_setup")
    account = MondayAccount.objects.get()
    assert (account.paused_until, account.pause_reason, account.failures) == (None, "", 0)


@pytest.mark.django_db(transaction=True)
def test_a_column_that_was_made_anew_is_filled_and_nobody_says_synced_before(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    people = [Contact.objects.create(name=name, phone="+44 20 7946 0018") for name in ("Ann", "Bo")]
    off = Contact.objects.create(name="Otto", phone="+44 20 7946 0019")
    run("sync_drain")
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    run("sync_drain")
    board_id = contacts_link().board_id
    monday.query('mutation ($b: ID!) { delete_column(board_id: $b, column_id: "phone") { id } }', b=board_id)
    said = run("monday_setup")
    assert f"Contacts (board {board_id}): 2 contacts will be looked at again" in said
    rows = SyncQueue.objects.filter(status="pending").values_list("entity_id", "direction", "priority", "causes")
    assert set(rows) == {(person.pk, "to_npd", 30, int(Cause.SWEEP)) for person in people}
    assert set(Contact.objects.exclude(pk=off.pk).values_list("sync_status", flat=True)) == {"pending"}
    run("sync_drain")
    phone = FieldMapping.objects.get(link__entity_type="contact", key="phone").column_id
    for person in people:
        item = monday.item_named(person.name)
        assert item is not None
        assert "7946 0018" in item["values"][phone] or "2079460018" in item["values"][phone]
        person.refresh_from_db()
        assert (person.phone, person.sync_status) == ("+44 20 7946 0018", "synced")
    assert "will be looked at again" not in run("monday_setup")


def test_a_group_that_is_gone_is_replaced_and_said(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    topmost = contacts_link().group_id
    BoardLink.objects.filter(entity_type="contact").update(group_id="gone")
    said = run("monday_setup")
    assert "for the group gone is archived or deleted" in said
    assert contacts_link().group_id == topmost


def test_a_mapped_column_that_changed_its_type_is_said_and_a_fitting_one_made(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    link = contacts_link()
    FieldMapping.objects.filter(link=link, key="phone").update(column_id="role_title")
    said = run("monday_setup")
    assert "Phone is now in the column phone" in said
    phone = link.mappings.get(key="phone")
    assert columns_of(monday, link.board_id)[phone.column_id] == "phone"


def test_what_monday_knows_of_the_columns_is_kept_with_the_mappings(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    email = contacts_link().mappings.get(key="email")
    assert email.options["column_type"] == "email"
    assert isinstance(email.options["settings"], dict)
    assert contacts_link().mappings.get(key="name").options == {}


def test_plan_version_and_users_of_the_account_are_remembered_and_told(monday: Sandbox, run: Run) -> None:
    said = run("monday_setup")
    row = MondayAccount.objects.get()
    assert (row.version_answered, row.version_kind) == ("2026-10", "current")
    assert row.users[row.user_id]["email"]
    assert row.users_at is not None
    assert "Monday answers as API version 2026-10 (current)" in said


def test_a_version_that_is_about_to_end_is_a_warning(monday: Sandbox, run: Run, settings: Any) -> None:
    settings.MONDAY_API_VERSION = "2026-07"
    said = run("monday_setup")
    assert "WARNING: Monday is about to end this API version." in said


@pytest.mark.parametrize("asked", ["2025-01", "1999-01"])
def test_a_version_that_monday_replaces_by_another_stops_the_set_up(
    monday: Sandbox, run: Run, settings: Any, asked: str
) -> None:
    settings.MONDAY_API_VERSION = asked
    with pytest.raises(CommandError, match=f"API version {asked} was asked for, 2026-.. answered"):
        run("monday_setup")
    assert monday.boards() == []


def test_every_mutation_of_the_set_up_goes_out_with_a_key_of_its_own(monday: Sandbox, run: Run) -> None:
    run("monday_setup")
    sent = [call for call in monday.calls() if call["kind"] == "mutation"]
    keys = [call["idempotency_key"] for call in sent]
    assert len(keys) > 10
    assert None not in keys
    assert len(set(keys)) == len(keys)
