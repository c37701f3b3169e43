"""The life of a sync state that other code keeps: made, begun, ended, in conflict, stale; alone and by the thousand."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from npd.models import Contact
from sync.choices import LedgerDirection, ResolutionStrategy, SyncStatus
from sync.clock import sync_now
from sync.ledger import (
    JIRA_TYPES,
    NotInConflict,
    OwnRecord,
    RemoteIdDiffers,
    StateBusy,
    StateLost,
    SyncBatch,
    SyncStateService,
)
from sync.merge import FieldSides, Unknown
from sync.models import SyncMetadata, SyncState

pytestmark = pytest.mark.django_db

service = SyncStateService()
DISPUTED = FieldSides("here", "there", ("old", "old"))


def sprint(entity_id: str = "7", **values: Any) -> SyncState:
    return service.create_sync_state("sprint", entity_id, **values)


def begun(entity_id: str = "7", **values: Any) -> SyncState:
    return service.begin(sprint(entity_id, **values))


# Making and finding.


def test_a_state_is_made_once_however_often_it_is_asked_for() -> None:
    first = sprint(jira_id="10001", resolution_strategy=ResolutionStrategy.JIRA_WINS)
    again = sprint(jira_id="10001")
    assert (first.pk, first.system, first.sync_status) == (again.pk, "jira", SyncStatus.PENDING)
    assert again.resolution_strategy == "jira_wins"
    assert service.get("sprint", "7").jira_id == "10001"


def test_a_remote_id_that_was_missing_is_filled_in_and_another_one_is_refused() -> None:
    sprint()
    assert sprint(jira_id="10001").jira_id == "10001"
    with pytest.raises(RemoteIdDiffers):
        sprint(jira_id="10002")
    assert sprint().jira_id == "10001"


@pytest.mark.parametrize("entity_type", sorted(JIRA_TYPES))
def test_jiras_types_are_jiras_without_saying_so(entity_type: str) -> None:
    assert service.create_sync_state(entity_type, "1").system == "jira"


def test_another_type_has_to_name_its_system() -> None:
    with pytest.raises(ValueError, match="system"):
        service.create_sync_state("invoice", "1")
    assert service.create_sync_state("invoice", "1", remote_id="R1", system="books").jira_id is None
    assert service.create_sync_state("invoice", "1", "J1").system == "jira"
    with pytest.raises(ValueError, match="jira_id"):
        service.create_sync_state("invoice", "1", "J1", system="books")
    with pytest.raises(SyncState.DoesNotExist):
        service.get("invoice", "2", system="books")


def test_a_record_of_this_application_is_written_by_the_engine_only() -> None:
    contact = Contact.objects.create(name="Ada")
    row = SyncState.objects.create(entity_type="contact", entity_id=str(contact.pk))
    before = SyncMetadata.objects.values().get()
    refused = [
        lambda: service.create_sync_state("contact", uuid.uuid4()),
        lambda: service.create_sync_state("contact", contact.pk, "J1"),
        lambda: service.create_sync_states("contact", {"1": None}, system="jira"),
        lambda: service.begin(row),
        lambda: service.complete(row),
        lambda: service.fail(row, "no"),
        lambda: service.skip(row, "no"),
        lambda: service.record_conflict(row, {"name": DISPUTED}),
        lambda: service.resolve_conflict(row, {"name": "local"}),
        lambda: service.begin_batch("contact"),
    ]
    for write in refused:
        with pytest.raises(OwnRecord, match=r"sync\.reconcile"):
            write()
    assert SyncMetadata.objects.values().get() == before
    assert service.get("contact", contact.pk).pk == row.pk


# One sync of one thing.


def test_a_success_keeps_what_it_cost_and_what_was_seen() -> None:
    state = begun(jira_id="1")
    assert (state.sync_status, state.last_successful_sync) == (SyncStatus.IN_PROGRESS, None)
    now = sync_now()
    service.complete(
        state, duration_ms=120, api_calls=2, content_hash="abc", local_modified=now, remote_modified=now, remote_id="2"
    )
    stored = service.get("sprint", "7")
    assert (stored.sync_status, stored.sync_duration_ms, stored.api_calls_count) == (SyncStatus.COMPLETED, 120, 2)
    assert stored.last_successful_sync == stored.last_sync_attempt
    assert (stored.content_hash, stored.local_modified, stored.remote_modified, stored.jira_id) == (
        "abc",
        now,
        now,
        "2",
    )


def test_failures_are_counted_until_a_success_ends_them() -> None:
    state = sprint()
    for _ in range(3):
        service.fail(service.begin(state), "Jira answers 500.", api_calls=1)
    assert (state.sync_status, state.error_count, state.last_error) == ("failed", 3, "Jira answers 500.")
    assert state.sync_duration_ms is not None
    service.complete(service.begin(state))
    assert (state.sync_status, state.error_count, state.last_error) == ("completed", 0, "")


def test_what_is_not_to_be_synced_is_skipped_with_the_reason() -> None:
    state = service.skip(begun(), "Closed long ago.")
    assert (state.sync_status, state.note) == (SyncStatus.SKIPPED, "Closed long ago.")
    assert not service.needs_sync(state, content_hash="new")
    assert not service.stale(timedelta(0)).exists()


def test_only_who_began_a_state_ends_it() -> None:
    mine, other = sprint(), sprint()
    with pytest.raises(StateLost):
        service.complete(mine)
    service.begin(mine, direction=LedgerDirection.LOCAL_TO_REMOTE)
    assert mine.sync_direction == "local_to_remote"
    with pytest.raises(StateBusy):
        service.begin(other)
    with pytest.raises(StateLost):
        service.complete(other)
    service.complete(mine)
    with pytest.raises(StateLost):
        service.fail(mine, "too late")


def test_what_a_dead_worker_began_is_taken_over_and_is_the_others_then() -> None:
    dead, alive = begun(), sprint()
    service.begin(alive, abandoned_after=timedelta(0))
    with pytest.raises(StateLost):
        service.complete(dead)
    service.complete(alive)


# What has to be synced.


def test_a_hash_says_whether_a_thing_changed_and_times_where_there_is_none() -> None:
    now = sync_now()
    state = sprint()
    assert service.needs_sync(state)
    service.begin(state)
    assert not service.needs_sync(state)
    service.complete(state, local_modified=now)
    assert not service.needs_sync(state)
    assert not service.needs_sync(state, local_modified=now)
    assert service.needs_sync(state, local_modified=now + timedelta(seconds=1))
    assert service.needs_sync(state, remote_modified=now)
    service.complete(service.begin(state), content_hash="abc")
    assert not service.needs_sync(state, content_hash="abc", local_modified=now + timedelta(seconds=1))
    assert service.needs_sync(state, content_hash="abd")
    assert service.needs_sync(service.fail(service.begin(state), "no"), content_hash="abc")


def test_work_that_nobody_goes_on_with_has_to_be_done_by_another() -> None:
    state = begun()
    for attempt, needed in ((sync_now() - timedelta(minutes=20), True), (sync_now(), False), (None, True)):
        SyncState.objects.update(last_sync_attempt=attempt)
        state.refresh_from_db()
        assert service.needs_sync(state, content_hash="abc") is needed
        assert service.needing_sync("sprint", {"7": "abc"}) == ({"7"} if needed else set())
    SyncState.objects.update(last_sync_attempt=sync_now() - timedelta(minutes=1))
    state.refresh_from_db()
    assert service.needs_sync(state, abandoned_after=timedelta(seconds=1))
    assert service.needing_sync("sprint", {"7": "abc"}, abandoned_after=timedelta(seconds=1)) == {"7"}


def test_one_thing_and_many_are_asked_alike_where_no_hash_was_stored() -> None:
    state = service.complete(begun())
    assert service.needs_sync(state, content_hash="abc")
    assert service.needing_sync("sprint", {"7": "abc"}) == {"7"}


def test_many_are_asked_by_one_statement() -> None:
    service.create_sync_states("issue", {str(number): None for number in range(6)})
    batch = service.begin_batch("issue", ["0", "1", "2", "3"])
    service.finish_batch(batch, completed={"0": "a", "1": "a"}, failed={"2": "no"}, skipped={"3": "old"})
    service.begin_batch("issue", ["4"])
    with CaptureQueriesContext(connection) as asked:
        found = service.needing_sync("issue", {"0": "a", "1": "b", "2": "a", "3": "a", "4": "a", "5": "a", "new": "a"})
    assert (found, len(asked)) == ({"1", "2", "5", "new"}, 1)


def test_the_stale_ones_come_with_the_never_synced_first() -> None:
    for entity_id in ("old", "older", "fresh"):
        service.complete(begun(entity_id))
    sprint("never")
    service.create_sync_state("invoice", "1", system="books")
    for entity_id, days in (("old", 2), ("older", 3)):
        long_ago = sync_now() - timedelta(days=days)
        SyncState.objects.filter(entity_id=entity_id).update(last_sync_attempt=long_ago, last_successful_sync=long_ago)
    found = service.stale(timedelta(days=1), system="jira", entity_type="sprint")
    assert [state.entity_id for state in found] == ["never", "older", "old"]
    assert service.stale(timedelta(days=1)).count() == 4


# Conflicts.


def test_a_conflict_waits_for_a_person_and_is_not_in_sync_until_it_is_resolved() -> None:
    state = begun()
    choices = service.record_conflict(state, {"name": DISPUTED, "goal": FieldSides("new", "old", ("old", "old"))})
    assert (choices["name"].open, choices["goal"].open, choices["goal"].value) == (True, False, "new")
    service.complete(state)
    assert (state.sync_status, state.last_successful_sync) == (SyncStatus.COMPLETED, None)
    assert state.conflicts["fields"] == ["name"]
    assert state.conflict_opened_at is not None

    assert service.resolve_conflict(state, {"name": "remote"}) == {"name": "there"}
    assert (state.conflicts, state.sync_status) == ({}, SyncStatus.PENDING)
    assert state.conflict_resolved_at is not None
    assert state.conflict_resolved_at >= state.conflict_opened_at
    service.complete(service.begin(state))
    assert state.last_successful_sync == state.last_sync_attempt


def test_the_fields_of_a_conflict_are_resolved_one_by_one_with_a_value_of_ones_own_too() -> None:
    state = begun()
    service.record_conflict(state, {"name": DISPUTED, "goal": DISPUTED}, ResolutionStrategy.AUTO)
    service.complete(state)
    assert service.resolve_conflict(state, {"name": "local"}) == {"name": "here"}
    assert (state.conflicts["fields"], state.conflict_resolved_at, state.sync_status) == (["goal"], None, "completed")
    with pytest.raises(NotInConflict):
        service.resolve_conflict(state, {"name": "local"})
    with pytest.raises(ValueError, match="both"):
        service.resolve_conflict(state, {"goal": "both"})
    assert service.resolve_conflict(state, values={"goal": "typed"}) == {"goal": "typed"}
    assert not state.conflicts


def test_a_strategy_decides_at_once_and_stays_the_states_own() -> None:
    state = begun(resolution_strategy=ResolutionStrategy.LOCAL_WINS)
    assert service.record_conflict(state, {"name": DISPUTED})["name"].value == "here"
    assert service.record_conflict(state, {"name": DISPUTED}, ResolutionStrategy.JIRA_WINS)["name"].value == "there"
    assert (state.conflicts, state.resolution_strategy) == ({}, "jira_wins")
    assert state.conflict_opened_at == state.conflict_resolved_at
    assert state.conflict_opened_at is not None


def test_another_system_than_the_rows_can_not_win() -> None:
    state = begun()
    with pytest.raises(ValueError, match="monday_wins"):
        service.record_conflict(state, {"name": DISPUTED}, ResolutionStrategy.MONDAY_WINS)
    with pytest.raises(StateLost):
        service.record_conflict(sprint("other"), {"name": DISPUTED})


def test_who_holds_a_state_whose_conflict_is_resolved_has_lost_it() -> None:
    state = begun()
    service.record_conflict(state, {"name": DISPUTED})
    assert service.resolve_conflict(service.get("sprint", "7"), {"name": "remote"}) == {"name": "there"}
    with pytest.raises(StateLost):
        service.complete(state)
    stored = service.get("sprint", "7")
    assert (stored.sync_status, stored.sync_batch_id, stored.last_successful_sync) == ("pending", None, None)


def test_a_batch_passes_over_what_was_resolved_meanwhile() -> None:
    service.create_sync_states("issue", {"1": None, "2": None})
    batch = service.begin_batch("issue")
    first = batch.states[0]
    service.record_conflict(first, {"name": DISPUTED})
    service.resolve_conflict(service.get("issue", "1"), {"name": "remote"})
    assert service.finish_batch(batch, completed={"1": None, "2": None}).completed == 1
    assert [service.get("issue", key).sync_status for key in ("1", "2")] == ["pending", "completed"]


def test_a_conflict_whose_time_is_still_to_come_can_be_resolved() -> None:
    for resolve in (
        lambda state: service.resolve_conflict(state, {"name": "local"}),
        lambda state: service.record_conflict(service.begin(state), {}),
    ):
        state = begun()
        service.record_conflict(state, {"name": DISPUTED})
        service.complete(state)
        SyncState.objects.update(conflict_opened_at=sync_now() + timedelta(minutes=3))
        resolve(state)
        state.refresh_from_db()
        assert state.conflict_opened_at == state.conflict_resolved_at is not None
        SyncState.objects.all().delete()


def test_a_side_that_is_not_known_is_stored_as_none_with_the_reason() -> None:
    state = begun()
    service.record_conflict(state, {"name": FieldSides("here", Unknown("The token may not read it."))})
    assert state.conflicts["values"]["name"] == {
        "local": "here",
        "remote": None,
        "unknown": {"remote": "The token may not read it."},
    }


# What a foreign system says, and what is too long.


@pytest.mark.parametrize("said", ["a\x00b", "a\ud83db"])
def test_what_the_database_can_not_store_of_a_reason_is_marked(said: str) -> None:
    state = sprint()
    assert service.fail(service.begin(state), said).last_error == "a\ufffdb"
    assert service.skip(service.begin(state), said).note == "a\ufffdb"
    service.create_sync_states("issue", {"1": None, "2": None})
    service.finish_batch(service.begin_batch("issue"), failed={"1": said}, skipped={"2": said})
    assert service.get("issue", "1").last_error == service.get("issue", "2").note == "a\ufffdb"


def test_an_error_keeps_no_secret() -> None:
    said = f"401 for {settings.SECRET_KEY}, ?access_token=abc123"
    assert service.fail(begun(), said).last_error == "401 for [secret], ?access_token=[secret]"
    service.create_sync_states("issue", {"1": None})
    service.finish_batch(service.begin_batch("issue"), failed={"1": said})
    assert service.get("issue", "1").last_error == "401 for [secret], ?access_token=[secret]"


def test_what_is_too_long_is_refused_and_the_state_stays_its_holders() -> None:
    state = begun()
    service.create_sync_states("issue", {"1": None})
    batch = service.begin_batch("issue")
    with pytest.raises(ValueError, match="64"):
        service.complete(state, content_hash="a" * 65)
    with pytest.raises(ValueError, match="64"):
        service.finish_batch(batch, completed={"1": "a" * 65})
    with pytest.raises(ValueError, match="too long"), transaction.atomic():
        service.create_sync_state("sprint", "8", "J" * 51)
    with pytest.raises(ValueError, match="too long"), transaction.atomic():
        service.complete(state, remote_id="J" * 51)
    assert service.complete(state, content_hash="a" * 64).sync_status == "completed"
    assert service.finish_batch(batch, completed={"1": "a" * 64}, api_calls=2**40).completed == 1
    assert service.get("issue", "1").api_calls_count == 2**31 - 1


def test_a_time_that_no_integer_holds_is_the_longest_one() -> None:
    for entity_id, duration in (("7", None), ("8", 2**40)):
        state = begun(entity_id)
        SyncState.objects.update(last_sync_attempt=sync_now() - timedelta(days=400))
        assert service.complete(state, duration_ms=duration).sync_duration_ms == 2**31 - 1


# By the thousand.


def test_a_batch_of_all_leaves_what_is_not_to_be_synced() -> None:
    service.create_sync_states("issue", {"1": None, "2": None})
    service.finish_batch(service.begin_batch("issue"), completed={"1": None}, skipped={"2": "Closed."})
    assert service.begin_batch("issue").number == 1
    assert service.begin_batch("issue", ["2"]).number == 1


def test_thousands_are_made_begun_and_ended_in_a_handful_of_statements() -> None:
    number = 3_000
    with CaptureQueriesContext(connection) as asked:
        made = service.create_sync_states("issue", {str(n): f"J{n}" for n in range(number)})
        batch = service.begin_batch("issue", direction=LedgerDirection.REMOTE_TO_LOCAL)
        again = service.begin_batch("issue")
        result = service.finish_batch(
            batch,
            completed={str(n): f"hash {n}" for n in range(number - 20)},
            failed={str(n): "Jira answers 500." for n in range(number - 20, number - 10)},
            skipped={str(number - 10): "Closed."},
            api_calls=30,
        )
    assert (made, batch.number, again.number, len(asked)) == (number, number, 0, 4)
    assert (result.completed, result.failed, result.skipped, result.returned) == (number - 20, 10, 1, 9)
    one = service.get("issue", "17")
    assert (one.content_hash, one.api_calls_count, one.sync_direction) == ("hash 17", 30, "remote_to_local")
    assert one.last_successful_sync == one.last_sync_attempt
    assert SyncState.objects.filter(sync_status="pending").count() == 9
    assert service.create_sync_states("issue", {str(n): f"J{n}" for n in range(number)}) == 0


def test_a_batch_ends_each_thing_in_one_way_and_only_its_own() -> None:
    service.create_sync_states("issue", {"1": None, "2": None})
    batch = service.begin_batch("issue", ["1"])
    assert [state.entity_id for state in batch.states] == ["1"]
    with pytest.raises(ValueError, match="one way"):
        service.finish_batch(batch, completed={"1": None}, failed={"1": "no"})
    assert service.finish_batch(batch, completed={"1": None, "2": None}).completed == 1
    assert service.finish_batch(SyncBatch(uuid.uuid4(), 0), completed={"2": None}).completed == 0
    assert service.get("issue", "2").sync_status == "pending"


def test_a_conflict_in_a_batch_is_not_in_sync_though_completed() -> None:
    service.create_sync_states("issue", {"1": None, "2": None})
    batch = service.begin_batch("issue")
    first = batch.states[0]
    service.record_conflict(first, {"name": DISPUTED})
    service.finish_batch(batch, completed={"1": None, "2": None})
    assert [service.get("issue", key).last_successful_sync is None for key in ("1", "2")] == [True, False]
