"""Every migration goes down and up again."""

import json
import uuid

import pytest
from django.core.management import call_command
from django.db import connection

from tests.support import rows

OURS = ("conflicts", "npd", "sync")


def tables() -> set[str]:
    return set(connection.introspection.table_names())


@pytest.mark.django_db(transaction=True)
def test_migrations_go_up_down_and_up() -> None:
    before = tables()
    try:
        for app in OURS:
            call_command("migrate", app, "zero", verbosity=0)
        assert not {"contacts", "organizations", "sync_queue", "sync_metadata", "sync_conflicts"} & tables()
    finally:
        call_command("migrate", verbosity=0)
        rows.number_further_on()
    assert tables() == before


HIDDEN = "The column “Role” (role) is on the board, but Monday doesn't show its values to the token's user. Ask."
RETYPED = "The column “Phone” (phone) is of the type text now; it was phone. Restore it."


@pytest.mark.django_db(transaction=True)
def test_sentences_about_blocked_fields_get_their_codes_and_back() -> None:
    entries = {
        "role_title": {"reason": HIDDEN, "side": "npd"},
        "phone": {"reason": "Monday refused “x”.", "side": "monday"},
        "email": {"reason": "NPD can't take it.", "side": "npd"},
    }
    record = str(uuid.uuid4())

    def held() -> dict[str, dict[str, str]]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT held FROM sync_metadata WHERE entity_id = %s", [record])
            found: dict[str, dict[str, str]] = json.loads(cursor.fetchone()[0])
            return found

    try:
        call_command("migrate", "sync", "0015", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO sync_board_links (entity_type, match_key, sweep_problem) VALUES ('contact', 'email', %s)"
                " RETURNING id",
                ["It could not be asked. Monday listed 1,998 of the board's 2,001 items. Again."],
            )
            [link] = cursor.fetchone()
            for key, problem in (("role_title", HIDDEN), ("phone", RETYPED), ("email", "")):
                cursor.execute(
                    "INSERT INTO sync_field_mappings (link_id, key, label, fields, converter, problem)"
                    " VALUES (%s, %s, %s, %s, 'text', %s)",
                    [link, key, key, [key], problem],
                )
            cursor.execute(
                "INSERT INTO sync_metadata (entity_type, entity_id, held) VALUES ('contact', %s, %s)",
                [record, json.dumps(entries)],
            )
        call_command("migrate", "sync", "0016", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT key, problem_code FROM sync_field_mappings")
            assert dict(cursor.fetchall()) == {"role_title": "hidden", "phone": "retyped", "email": ""}
            cursor.execute("SELECT sweep_shortfall FROM sync_board_links")
            assert cursor.fetchall() == [(3,)]
        codes = {key: entry["code"] for key, entry in held().items()}
        assert codes == {"role_title": "column", "phone": "rejected", "email": "unknown"}
        call_command("migrate", "sync", "0015", verbosity=0)
        assert held() == entries
    finally:
        call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_stored_sentences_that_logic_read_get_their_codes() -> None:
    asking, too, other, deleted = (uuid.uuid4() for _ in range(4))
    what = "2 items on the board could be this contact. Nothing was created."
    items = {asking: ["71", "72"], too: ["81", "82"]}  # who asks in the same words about other items
    try:
        call_command("migrate", "conflicts", "0004", verbosity=0)
        call_command("migrate", "sync", "0013", verbosity=0)
        with connection.cursor() as cursor:
            for record, conflicts in ((asking, {"identity": [what]}), (too, {"identity": [what]}), (other, {})):
                cursor.execute(
                    "INSERT INTO sync_metadata (entity_type, entity_id, conflicts) VALUES ('contact', %s, %s)",
                    [str(record), json.dumps(conflicts)],
                )
            for record, asked in items.items():
                about = {"what": what, "candidates": [{"id": item} for item in asked]}
                cursor.execute(
                    "INSERT INTO sync_conflicts (entity_type, entity_id, monday_item_id, kind, npd_data, monday_data,"
                    " conflict_fields, about) VALUES ('contact', %s, %s, 'identity', '{}', '{}', '{}', %s)",
                    [record, asked[0], json.dumps(about)],
                )
            cursor.execute(
                "INSERT INTO sync_tombstones (entity_type, entity_id, state, note) VALUES ('contact', %s, 'asked', %s)",
                [deleted, "“Ada” was deleted in NPD. What should become of its item “Ada”?"],
            )
    finally:
        call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT entity_id, asked_items FROM sync_metadata")
        assert dict(cursor.fetchall()) == {str(one): items.get(one, []) for one in (asking, too, other)}
        cursor.execute("SELECT entity_id, reason_code FROM sync_tombstones")
        assert cursor.fetchall() == [(deleted, "question")]
