"""The table of sync states: its constraints, its two names, and Jira's name for the remote id."""

import pytest
from django.db import IntegrityError, connection, transaction

from sync.models import SyncMetadata, SyncState

SPRINT = {"entity_type": "sprint", "entity_id": "7"}


@pytest.mark.django_db
def test_both_names_stand_on_one_table_and_jiras_id_is_its_remote_id() -> None:
    state = SyncState.objects.create(**SPRINT, jira_id="10001")
    assert SyncMetadata.objects.values("system", "remote_id").get() == {"system": "jira", "remote_id": "10001"}
    assert (state.jira_id, SyncMetadata(**SPRINT, remote_id="5").jira_id) == ("10001", None)


def test_the_first_drafts_names_are_imported_from_one_place() -> None:
    from sync.models import RecordSyncStatus, SyncConflict, SyncDirection

    names = (RecordSyncStatus.SYNCED, SyncDirection.BIDIRECTIONAL, SyncConflict._meta.db_table)
    assert names == ("synced", "bidirectional", "sync_conflicts")


@pytest.mark.django_db
def test_a_thing_has_one_row_for_each_system() -> None:
    for system in ("jira", "github"):
        SyncState.objects.create(**SPRINT, system=system)
    with pytest.raises(IntegrityError, match="sync_metadata_one_a_record"), transaction.atomic():
        SyncState.objects.create(**SPRINT, system="jira")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "check"),
    [
        ("sync_status = 'done'", "status_known"),
        ("sync_direction = 'up'", "direction_known"),
        ("resolution_strategy = 'coin'", "strategy_known"),
        ("system = ''", "named"),
        ("entity_id = ''", "named"),
        ("error_count = -1", "counts_not_negative"),
        ("api_calls_count = -1", "counts_not_negative"),
        ("sync_duration_ms = -1", "counts_not_negative"),
        ("conflict_resolved_at = now()", "conflict_opened_first"),
    ],
)
def test_the_database_refuses_what_can_not_be(values: str, check: str) -> None:
    SyncState.objects.create(**SPRINT, system="jira")
    with (
        pytest.raises(IntegrityError, match=f"sync_metadata_{check}"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE sync_metadata SET {values}")


@pytest.mark.django_db
@pytest.mark.parametrize("attempt", ["NULL", "now() - interval '1s'"])
def test_a_success_was_an_attempt_whoever_writes_it_and_however_the_clock_steps(attempt: str) -> None:
    state = SyncState.objects.create(**SPRINT, system="jira")
    with connection.cursor() as cursor:
        # As after a clock stepped back between two passes.
        cursor.execute("UPDATE sync_metadata SET last_successful_sync = now()")
        cursor.execute(f"UPDATE sync_metadata SET last_sync_attempt = {attempt}")
        cursor.execute("ALTER TABLE sync_metadata DISABLE TRIGGER USER")
        with pytest.raises(IntegrityError, match="sync_metadata_success_was_attempt"), transaction.atomic():
            cursor.execute(f"UPDATE sync_metadata SET last_sync_attempt = {attempt}")
        cursor.execute("ALTER TABLE sync_metadata ENABLE TRIGGER USER")
    state.refresh_from_db()
    assert state.last_sync_attempt == state.last_successful_sync is not None
