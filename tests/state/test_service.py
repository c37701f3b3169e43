"""The life of a sync state that other code keeps: made, begun, ended, in conflict; and the figures of all."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from npd.models import Contact
from sync.choices import ResolutionStrategy, SyncStateDirection, SyncStatus
from sync.clock import sync_now
from sync.merge import FieldSides, Unknown
from sync.models import SyncMetadata, SyncState
from sync.state import JIRA_TYPES, SyncStateService
from tests.api.conftest import api, person

__all__ = ["api", "person"]

pytestmark = pytest.mark.django_db

service = SyncStateService()
DISPUTED = FieldSides("here", "there", ("old", "old"))


def sprint(entity_id: str = "7", **values: Any) -> SyncState:
    return service.create_sync_state("sprint", entity_id, **values)


def begun(entity_id: str = "7", **values: Any) -> SyncState:
    return service.begin(sprint(entity_id, **values))


def stored(state: SyncState) -> SyncState:
    return SyncState.objects.get(pk=state.pk)


# Made.


def test_a_state_is_made_once_however_often_it_is_asked_for() -> None:
    first = sprint(jira_id="10001", resolution_strategy=ResolutionStrategy.JIRA_WINS)
    again = sprint(jira_id="10001")
    assert (first.pk, again.system, again.sync_status) == (again.pk, "jira", SyncStatus.PENDING)
    assert (again.jira_id, again.resolution_strategy) == ("10001", "jira_wins")


def test_a_missing_remote_id_is_filled_in_and_another_one_is_refused() -> None:
    sprint()
    assert sprint(jira_id="10001").jira_id == "10001"
    with pytest.raises(ValueError, match="10001, not 10002"):
        sprint(jira_id="10002")
    assert sprint().jira_id == "10001"


def test_jiras_types_are_jiras_and_others_name_their_system() -> None:
    assert {service.create_sync_state(entity_type, "1").system for entity_type in JIRA_TYPES} == {"jira"}
    with pytest.raises(ValueError, match="system"):
        service.create_sync_state("invoice", "1")
    assert service.create_sync_state("invoice", "1", remote_id="R1", system="books").jira_id is None
    assert service.create_sync_state("invoice", "1", "J1").system == "jira"
    with pytest.raises(ValueError, match="jira_id"):
        service.create_sync_state("invoice", "1", "J1", system="books")


def test_a_record_of_this_application_is_written_by_the_engine_alone() -> None:
    contact = Contact.objects.create(name="Ada")
    row = SyncState.objects.create(entity_type="contact", entity_id=str(contact.pk))
    refused = [
        lambda: service.create_sync_state("contact", contact.pk),
        lambda: service.begin(row),
        lambda: service.complete(row),
        lambda: service.fail(row, "no"),
        lambda: service.record_conflict(row, {"name": DISPUTED}),
        lambda: service.resolve_conflict(row, {"name": "local"}),
    ]
    for write in refused:
        with pytest.raises(ValueError, match="SyncQueueService"):
            write()
    assert stored(row).sync_status == SyncStatus.PENDING


# One sync of one thing.


def test_a_success_keeps_what_it_cost_and_what_was_seen() -> None:
    state = begun(jira_id="1")
    assert (stored(state).sync_status, state.last_successful_sync) == (SyncStatus.IN_PROGRESS, None)
    now = sync_now()
    service.complete(
        state, duration_ms=120, api_calls=2, content_hash="abc", local_modified=now, remote_modified=now, remote_id="2"
    )
    state = stored(state)
    assert (state.sync_status, state.sync_duration_ms, state.api_calls_count) == (SyncStatus.COMPLETED, 120, 2)
    assert state.last_successful_sync == state.last_sync_attempt is not None
    assert (state.content_hash, state.local_modified, state.remote_modified) == ("abc", now, now)
    assert state.jira_id == "2"


def test_failures_are_counted_until_a_success_ends_them() -> None:
    state = sprint()
    for _ in range(3):
        service.fail(service.begin(state, direction=SyncStateDirection.LOCAL_TO_REMOTE), "Jira answers 500.")
    state = stored(state)
    assert (state.sync_status, state.error_count, state.last_error) == ("failed", 3, "Jira answers 500.")
    assert (state.sync_direction, state.sync_duration_ms is None) == ("local_to_remote", False)
    service.complete(service.begin(state))
    state = stored(state)
    assert (state.sync_status, state.error_count, state.last_error) == ("completed", 0, "")


def test_an_error_keeps_no_secret() -> None:
    error = f"401 for {settings.SECRET_KEY}, ?access_token=abc123"
    assert service.fail(begun(), error).last_error == "401 for [secret], ?access_token=[secret]"


# Conflicts.


@pytest.mark.parametrize(
    ("strategy", "value"), [("local_wins", "here"), ("jira_wins", "there"), ("manual", None), ("auto", None)]
)
def test_a_field_that_both_sides_changed_is_decided_by_the_strategy(strategy: str, value: str | None) -> None:
    state = begun(resolution_strategy=strategy)
    decided = service.record_conflict(state, {"name": DISPUTED})
    assert decided == ({} if value is None else {"name": value})
    assert stored(state).conflicts.get("fields", []) == (["name"] if value is None else [])


@pytest.mark.parametrize(
    ("conflicts", "decided"),
    [
        ({"field": "name", "local": "Local Name", "remote": "Remote Name"}, {}),
        ({"name": {"local": "Local Name", "remote": "Remote Name"}}, {}),
        ({"name": {"local": "Local Name", "remote": "old", "base": "old"}}, {"name": "Local Name"}),
        ({"field": "name", "local": "old", "remote": "Remote Name", "base": "old"}, {"name": "Remote Name"}),
    ],
)
def test_a_conflict_is_also_told_by_plain_values(conflicts: dict[str, Any], decided: dict[str, str]) -> None:
    state = begun()
    assert service.record_conflict(state, conflicts, resolution_strategy=ResolutionStrategy.MANUAL) == decided
    waiting = {"name": {"local": "Local Name", "remote": "Remote Name"}}
    assert stored(state).conflicts.get("values", {}) == ({} if decided else waiting)


@pytest.mark.parametrize("sides", ["Local Name", {"local": "a"}, {"local": "a", "remote": "b", "other": "c"}])
def test_a_conflict_in_another_form_is_refused(sides: Any) -> None:
    with pytest.raises(ValueError, match="“local” and “remote”"):
        service.record_conflict(begun(), {"name": sides})


def test_what_one_side_alone_changed_is_that_sides_and_what_is_not_known_is_open() -> None:
    fields = {
        "mine": FieldSides("new", "old", ("old", "old")),
        "theirs": FieldSides("old", "new", ("old", "old")),
        "same": FieldSides("new", "new", ("old", "old")),
        "unknown": FieldSides("new", Unknown("It can't be read."), ("old", "old")),
    }
    state = begun()
    assert service.record_conflict(state, fields) == {"mine": "new", "theirs": "new", "same": "new"}
    assert stored(state).conflicts == {"fields": ["unknown"], "values": {"unknown": {"local": "new", "remote": None}}}


def test_a_strategy_that_names_another_system_is_refused() -> None:
    with pytest.raises(ValueError, match="monday_wins"):
        service.record_conflict(begun(), {"name": DISPUTED}, ResolutionStrategy.MONDAY_WINS)


def test_a_thing_in_conflict_is_in_sync_only_once_it_is_resolved_and_synced_so() -> None:
    state = begun()
    service.record_conflict(state, {"name": DISPUTED, "goal": DISPUTED})
    service.complete(state)
    assert (state.sync_status, state.last_successful_sync) == (SyncStatus.COMPLETED, None)
    with pytest.raises(ValueError, match="local or remote"):
        service.resolve_conflict(state, {"name": "left"})
    with pytest.raises(ValueError, match="estimate"):
        service.resolve_conflict(state, values={"estimate": 3})
    assert service.resolve_conflict(state, {"name": "remote"}) == {"name": "there"}
    assert (state.conflicts["fields"], state.conflict_resolved_at) == (["goal"], None)
    assert service.resolve_conflict(state, values={"goal": "ours"}) == {"goal": "ours"}
    assert (state.sync_status, state.conflicts) == (SyncStatus.PENDING, {})
    assert state.conflict_opened_at <= state.conflict_resolved_at
    assert service.complete(service.begin(state)).last_successful_sync is not None


# Figures.


def test_the_figures_count_every_thing_with_what_it_took_and_how_it_ended() -> None:
    for number, milliseconds in enumerate((10, 20, 30, 400)):
        service.complete(begun(str(number)), duration_ms=milliseconds, api_calls=2)
    for number in ("5", "6"):
        service.fail(begun(number), "Jira answers 500.", duration_ms=5, api_calls=1)
    sprint("8")
    service.create_sync_state("invoice", "1", system="books")

    statistics = service.statistics("jira")
    assert statistics["total"] == 7
    assert statistics["by_status"] == {"pending": 1, "in_progress": 0, "completed": 4, "failed": 2, "skipped": 0}
    assert {"system": "jira", "entity_type": "sprint", "sync_status": "failed", "number": 2} in statistics["groups"]
    assert (statistics["conflicts"], statistics["never_synced"]) == (0, 3)
    assert service.statistics()["total"] == 8

    performance = service.performance(entity_type="sprint", window=timedelta(hours=2))
    assert (performance["tried"], performance["success_rate"], performance["per_hour"]) == (6, 4 / 6, 3)
    assert performance["duration_ms"] == {"median": 10, "p95": 400, "max": 400}
    assert (performance["api_calls"], performance["api_calls_per_thing"]) == (10, 10 / 6)


def test_figures_of_nothing_are_no_numbers() -> None:
    performance = service.performance()
    assert (performance["tried"], performance["success_rate"], performance["api_calls_per_thing"]) == (0, None, None)
    assert performance["duration_ms"] == {"median": None, "p95": None, "max": None}


def test_the_api_says_jiras_id_where_the_system_is_jira(api: APIClient) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), remote_id="77")
    service.complete(begun(jira_id="10001"))
    results = api.get("/api/v1/sync/states/").json()["results"]
    shown = {state["entity_type"]: (state["jira_id"], state["sync_status"]) for state in results}
    assert shown == {"contact": (None, "pending"), "sprint": ("10001", "completed")}
