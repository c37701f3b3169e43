"""Migrations go down and up again; a database that stands where the first of them stand goes on with what follows."""

from __future__ import annotations

import secrets

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from npd.models import Contact
from sync.models import ApiToken, SyncQueue, UnmatchedItem
from tests.support import rows

OURS = ("conflicts", "npd", "sync")
SCHEMA = """
    SELECT table_name, column_name, data_type || coalesce(column_default, '') || is_nullable
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint
    UNION SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION SELECT 'persistence', relname, relpersistence::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""


def schema() -> set[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return set(cursor.fetchall())


@pytest.mark.django_db(transaction=True)
def test_migrations_go_down_to_nothing_and_up_to_the_same_schema() -> None:
    before = schema()
    try:
        for app in OURS:
            call_command("migrate", app, "zero", verbosity=0)
        left = {table for table, _, _ in schema()}
        assert not {table for table in left if table.startswith(("sync_", "npd_", "contacts", "organizations"))}
    finally:
        call_command("migrate", verbosity=0)
        rows.number_further_on()
    assert schema() == before


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_a_filled_database_of_the_release_before_goes_on_with_what_follows_the_initial_state() -> None:
    """Its recorder names the files that the initial ones replace."""
    recorder = MigrationRecorder(connection)
    try:
        for app in OURS:
            call_command("migrate", app, "0001", verbosity=0)
        executor = MigrationExecutor(connection)
        replaced = {one for app in OURS for one in executor.loader.disk_migrations[app, "0001_initial"].replaces}
        assert {*replaced, *((app, "0001_initial") for app in OURS)} == {
            one for one in recorder.applied_migrations() if one[0] in OURS
        }
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        assert not [migration for migration, _ in plan if migration.initial]
        fill()
    finally:
        call_command("migrate", verbosity=0)
        rows.number_further_on()
    assert set(SyncQueue.objects.values_list("operation", "claim_at_most")) == {("create", 0), ("update", 1)}
    assert [len(token.start) for token in ApiToken.objects.all()] == [8]
    assert UnmatchedItem.objects.get().reason_code == "queued"


def fill() -> None:
    """What the migrations after the initial ones move, as the release before stored it."""
    user = User.objects.create_user("ada")
    Contact.objects.create(name="Ada", email="ada@example.com")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE sync_queue SET operation = 'create';
            INSERT INTO sync_queue (entity_type, entity_id, claim_alone) VALUES ('contact', gen_random_uuid(), true);
            INSERT INTO sync_backfills (id, entity_type, board_id) VALUES (gen_random_uuid(), 'contact', '7');
            INSERT INTO sync_intents
                (id, entity_type, entity_id, board_id, lease_token, idempotency_key, deadline, backfill_id)
                SELECT gen_random_uuid(), 'contact', gen_random_uuid(), '7', gen_random_uuid(), 'key', now(), id
                FROM sync_backfills;
            INSERT INTO sync_unmatched_items (entity_type, item_id, reason_code)
                VALUES ('contact', '71', 'waits_for_import');
            """
        )
        cursor.execute(
            "INSERT INTO sync_api_tokens (user_id, name, scopes, start, digest, is_legacy)"
            " VALUES (%s, 'From before', '{read}', 'npd_0123456789a', %s, true)",
            [user.pk, secrets.token_hex(64)],
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("app", "missing"), [("npd", "0017_roles"), ("sync", "0002_allowance_and_bulk"), ("sync", "0047_claimed_in_parts")]
)
def test_a_database_that_stands_between_is_left_alone_with_what_to_do(app: str, missing: str) -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(app, missing)
    before = recorder.applied_migrations().keys()
    try:
        with pytest.raises(SystemCheckError, match=rf"(?s)sync\.E001.*{missing}.*with the release before"):
            call_command("migrate", skip_checks=False, verbosity=0)
        assert recorder.applied_migrations().keys() == before
    finally:
        recorder.record_applied(app, missing)
