"""An older database has two tables of sync states: they become one, and two again."""

import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from sync.clock import sync_now
from sync.ledger import SyncStateService
from sync.models import SyncState

pytestmark = pytest.mark.django_db(transaction=True)

service = SyncStateService()
# Jira's states as that form had them: an id of Jira's, no system, times that might be a moment apart.
OLD_TABLE = """
    CREATE TABLE sync_states (
        id serial PRIMARY KEY, entity_type varchar(50), entity_id varchar(64), jira_id varchar(50),
        sync_status varchar(20),
        last_sync_attempt timestamptz, last_successful_sync timestamptz, error_count integer, last_error text,
        conflicts jsonb)
"""
TABLES = ("sync_states", "sync_states_consolidated", "sync_states_consolidation", "sync_states_not_undone")


@pytest.fixture(autouse=True)
def old_table() -> Iterator[None]:
    run(OLD_TABLE)
    yield
    for name in TABLES:
        run(f"DROP TABLE IF EXISTS {name}")


def run(statement: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return list(cursor.fetchall()) if cursor.description else []


def old(
    entity_id: str, *, status: str = "completed", minutes: int = 0, entity_type: str = "sprint", jira: Any = None
) -> None:
    at = sync_now() - timedelta(minutes=minutes)
    run(
        "INSERT INTO sync_states (entity_type, entity_id, jira_id, sync_status, last_sync_attempt,"
        " last_successful_sync) VALUES (%s, %s, %s, %s, %s, %s)",
        *(entity_type, entity_id, jira, status, at, at + timedelta(milliseconds=2)),
    )


def consolidate(*arguments: str) -> str:
    said = io.StringIO()
    call_command("sync_consolidate", *arguments, stdout=said)
    return said.getvalue()


def tables() -> set[str]:
    return set(TABLES) & set(connection.introspection.table_names())


def everything() -> list[dict[str, Any]]:
    return list(SyncState.objects.order_by("entity_type", "entity_id").values())


def test_rows_that_only_the_old_table_has_come_over_whole() -> None:
    old("7", jira="10001", status="failed")
    run("UPDATE sync_states SET error_count = 2, last_error = 'no', conflicts = '{\"fields\": [\"name\"]}'")
    consolidate()
    state = service.get("sprint", "7")
    assert (state.jira_id, state.sync_status, state.error_count, state.last_error) == ("10001", "failed", 2, "no")
    assert (state.conflicts, state.resolution_strategy, state.note) == ({"fields": ["name"]}, "manual", "")
    assert state.last_sync_attempt == state.last_successful_sync
    assert tables() == {"sync_states_consolidated", "sync_states_consolidation"}


def test_a_dry_run_and_a_conflict_nobody_decided_write_nothing() -> None:
    service.complete(service.begin(service.create_sync_state("sprint", "7", "10001")))
    old("7", jira="10002", minutes=5)
    old("8")
    before = everything()
    with pytest.raises(CommandError, match="--differing"):
        consolidate()
    with pytest.raises(CommandError, match="--differing"):
        consolidate("--dry-run")
    assert (everything(), tables()) == (before, {"sync_states"})


def test_conflicts_between_the_two_are_told_column_by_column(capsys: pytest.CaptureFixture[str]) -> None:
    service.create_sync_state("sprint", "7", "10001")
    old("7", jira="10002")
    said = io.StringIO()
    with pytest.raises(CommandError):
        call_command("sync_consolidate", stdout=said)
    told = next(line for line in said.getvalue().splitlines() if "sprint 7 (jira)" in line)
    assert "remote_id: '10002' there, '10001' here" in told
    assert "sync_status: 'completed' there, 'pending' here" in told
    assert "entity_id" not in told


@pytest.mark.parametrize(
    ("differing", "kept"), [("keep", {"new": "1", "old": "1"}), ("newer", {"new": "2", "old": "1"})]
)
def test_the_ledgers_row_is_kept_or_the_one_that_was_tried_later(differing: str, kept: dict[str, str]) -> None:
    for entity_id, minutes in (("new", 0), ("old", 60)):
        state = service.complete(service.begin(service.create_sync_state("sprint", entity_id, "1")))
        SyncState.objects.filter(pk=state.pk).update(
            last_sync_attempt=sync_now() - timedelta(minutes=30), last_successful_sync=None
        )
        old(entity_id, jira="2", minutes=minutes)
    consolidate("--differing", differing)
    assert {state["entity_id"]: state["remote_id"] for state in everything()} == kept


def test_rows_that_say_the_same_are_left_and_of_a_thing_with_several_the_last_counts() -> None:
    old("7", jira="1", minutes=9)
    old("7", jira="2", minutes=1)
    consolidate()
    run("DROP TABLE sync_states_consolidation")
    run("ALTER TABLE sync_states_consolidated RENAME TO sync_states")
    before = everything()
    assert [row["remote_id"] for row in before] == ["2"]
    said = consolidate()
    assert "0 rows are new, 1 say the same, 0 differ" in said
    assert everything() == before


def test_a_record_of_this_application_is_left_to_the_engine() -> None:
    old("11111111-1111-4111-8111-111111111111", entity_type="contact")
    assert "own records" in consolidate()
    assert not SyncState.objects.exists()


def test_undone_there_are_two_tables_again_as_they_were() -> None:
    states = {key: service.create_sync_state("sprint", key, f"J{key}") for key in ("1", "2")}
    service.fail(service.begin(states["2"]), "no")
    for key in ("1", "2", "3"):
        old(key, jira=f"old {key}", minutes=-1)
    before, there = everything(), run("SELECT * FROM sync_states ORDER BY id")
    consolidate("--differing", "newer")
    assert everything() != before
    assert "3 rows put back" in consolidate("--undo")
    assert (everything(), run("SELECT * FROM sync_states ORDER BY id")) == (before, there)
    assert tables() == {"sync_states"}
    with pytest.raises(CommandError, match="nothing to undo"):
        consolidate("--undo")


def test_what_was_written_since_is_not_undone() -> None:
    for key in ("1", "2"):
        old(key)
    consolidate()
    service.fail(service.begin(service.get("sprint", "1")), "no")
    said = consolidate("--undo")
    assert ("1 rows put back" in said, "1 rows were written since" in said) == (True, True)
    assert [row["entity_id"] for row in everything()] == ["1"]
    assert tables() == {"sync_states", "sync_states_not_undone"}
    assert run("SELECT before, after::jsonb ->> 'entity_id' FROM sync_states_not_undone") == [(None, "1")]


def test_taking_the_newer_leaves_what_the_old_table_says_nothing_about() -> None:
    state = service.begin(service.create_sync_state("sprint", "7", "1"))
    service.complete(state, content_hash="abc", duration_ms=70, api_calls=2)
    same = service.complete(service.begin(service.create_sync_state("sprint", "8", "1")), content_hash="abc")
    old("7", status="failed", minutes=-5)
    old("8", minutes=-5)
    run("UPDATE sync_states SET last_successful_sync = NULL")
    run("UPDATE sync_states SET last_sync_attempt = %s WHERE entity_id = '8'", same.last_sync_attempt)
    before = SyncState.objects.values().get(entity_id="8")
    consolidate("--differing", "newer")
    taken = service.get("sprint", "7")
    assert (taken.sync_status, taken.jira_id, taken.content_hash) == ("failed", "1", "abc")
    assert (taken.sync_duration_ms, taken.api_calls_count) == (70, 2)
    assert taken.last_successful_sync == state.last_successful_sync
    assert SyncState.objects.values().get(entity_id="8") == before
    assert run("SELECT count(*) FROM sync_states_consolidation") == [(1,)]


def test_what_is_empty_within_a_conflict_comes_over_and_what_is_open_has_a_time() -> None:
    stored = {"fields": ["name"], "values": {"name": {"local": None, "remote": "there"}}}
    service.create_sync_state("sprint", "8", "1")
    for key in ("7", "8"):
        old(key, jira="1")
    run("UPDATE sync_states SET conflicts = %s", json.dumps(stored))
    consolidate("--differing", "newer")
    for key in ("7", "8"):
        state = service.get("sprint", key)
        assert state.conflicts == stored
        assert state.conflict_opened_at == state.last_sync_attempt is not None
        assert service.resolve_conflict(state, {"name": "local"}) == {"name": None}


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--differing", "newer")])
def test_values_that_no_state_can_have_are_told_before(arguments: tuple[str, ...]) -> None:
    old("7", status="done")
    with pytest.raises(CommandError, match="sync_status 'done'"):
        consolidate(*arguments)
    assert (everything(), tables()) == ([], {"sync_states"})


def test_a_second_time_needs_the_first_to_be_over() -> None:
    old("7")
    consolidate()
    run(OLD_TABLE)
    for arguments in ((), ("--dry-run",)):
        with pytest.raises(CommandError, match="earlier"):
            consolidate(*arguments)


def test_without_an_old_table_there_is_nothing_to_do() -> None:
    run("DROP TABLE sync_states")
    with pytest.raises(CommandError, match="no table sync_states"):
        consolidate()
