"""A database that stands where the initial migrations stand goes on with what follows; all of them go down and up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from sync.clock import sync_now
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


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_filled_database_goes_down_to_nothing_and_one_of_the_release_before_goes_up_to_the_same_schema() -> None:
    """The recorder of the one before names the files that the initial ones replace."""
    before = schema()
    try:
        executor = MigrationExecutor(connection)
        fill(executor.loader.project_state().apps, {})
        executor.migrate([(app, None) for app in OURS])
        left = {table for table, _, _ in schema()}
        assert not [one for one in left if one.startswith(("sync_", "npd_", "contacts", "organizations"))]
        initial = {(app, "0001_initial") for app in OURS}
        executor = MigrationExecutor(connection)
        executor.migrate([*initial])
        replaced = {one for key in initial for one in executor.loader.disk_migrations[key].replaces}
        recorded = MigrationRecorder(connection).applied_migrations()
        assert {one for one in recorded if one[0] in OURS} == replaced | initial
        fill(executor.loader.project_state([*initial]).apps, BEFORE)
    finally:
        call_command("migrate", verbosity=0)
        rows.number_further_on()
    assert schema() == before
    assert SyncQueue.objects.filter(claim_at_most=1).count() == 1
    assert [(len(token.start), str(token.expires_at)[:7]) for token in ApiToken.objects.all()] == [(8, "2027-07")]
    assert UnmatchedItem.objects.get().reason_code == "queued"


def fill(apps: Any, before: dict[str, dict[str, Any]]) -> None:
    """A row in each table, and in those of the release before what later migrations move."""
    made: dict[str, Any] = {"auth.User": apps.get_model("auth", "User").objects.get_or_create(username="ada")[0]}
    models = (model for app in OURS for model in apps.get_app_config(app).get_models())
    waiting = [model for model in models if model._meta.managed and not model._meta.proxy]
    while waiting:
        model = waiting.pop(0)
        related = {field.name: field.related_model._meta.label for field in model._meta.fields if field.is_relation}
        behind = {label for name, label in related.items() if not model._meta.get_field(name).null} - made.keys()
        if behind:
            waiting.append(model)
            continue
        label = model._meta.label
        own = OWN.get(label, {}) | before.get(label, {})
        values = {name: made.get(to) for name, to in related.items()} | plain(model) | own
        made[label] = model.objects.create(**values)


def plain(model: Any) -> dict[str, Any]:
    """A value for each field that needs one."""
    return {
        field.name: field.choices[0][0] if field.choices else PLAIN.get(field.get_internal_type(), int)()
        for field in model._meta.concrete_fields
        if not (field.is_relation or field.null or field.has_default() or field.has_db_default())
        and not field.get_internal_type().endswith("AutoField")
    }


PLAIN: dict[str, Callable[[], Any]] = {
    "ArrayField": list, "BinaryField": bytes, "CharField": str, "DateTimeField": sync_now, "JSONField": dict,
    "TextField": str, "UUIDField": uuid4,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "npd.Contact": {"name": "Ada"}, "npd.Organization": {"name": "Engines"},
    "sync.SyncQueue": {"entity_id": uuid4()},
    "sync.SyncMetadata": {"entity_type": "contact", "entity_id": str(uuid4())},
}  # fmt: skip
BEFORE: dict[str, dict[str, Any]] = {
    "sync.SyncQueue": {"claim_alone": True},
    "sync.SyncMetadata": {"held": {"phone": {"code": "column"}}},
    "sync.ApiToken": {"start": "npd_0123456789a", "digest": "0" * 128, "is_legacy": True},
    "sync.UnmatchedItem": {"item_id": "71", "reason_code": "waits_for_import"},
}  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("app", "missing"), [("npd", "0017_roles"), ("sync", "0002_allowance_and_bulk"), ("sync", "0047_claimed_in_parts")]
)
def test_a_database_that_stands_between_is_left_alone_with_what_to_do(app: str, missing: str) -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(app, missing)
    before = recorder.applied_migrations().keys()
    with pytest.raises(SystemCheckError, match=rf"(?s)sync\.E001.*{missing}.*with the release before"):
        call_command("migrate", skip_checks=False, verbosity=0)
    assert recorder.applied_migrations().keys() == before
