"""SyncStateService: the sync states of things that other code syncs with another system, and statistics of all states.

Code that syncs things of its own, such as sprints and issues with Jira, writes their states by this service. The states
of this application's records are written by passes; the service only counts them, and record_view.py shows them.
"""

import statistics
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import models, transaction

from sync import choices, merge, registry
from sync.clock import sync_now
from sync.kernel.secret_texts import without_secrets
from sync.models import SyncState
from sync.models.records_and_items import JIRA
from sync.words.message import Message

# Types whose system is Jira if none is named and no synced model has the type.
JIRA_TYPES = frozenset({"sprint", "issue", "project", "board"})

# The system that a strategy names; it doesn't apply to states of another system.
SYSTEM_OF_STRATEGY = {choices.ResolutionStrategy.JIRA_WINS: "jira", choices.ResolutionStrategy.MONDAY_WINS: "monday"}

UNKNOWN_TIMES = merge.EditTimes()

# Without `conflicts`, because somebody may have resolved them since the state was loaded.
_ENDED_FIELDS = (
    *("sync_status", "last_sync_attempt", "last_successful_sync", "error_count", "last_error", "note"),
    *("sync_duration_ms", "api_calls_count", "content_hash", "local_modified", "remote_modified", "remote_id"),
)

DAY = timedelta(days=1)


class SyncStateService:
    """Writes the sync states of things that other code syncs, and counts all states.

    The methods that write raise ValueError for this application's records, and if neither a system is named nor the
    type is one of Jira's.
    """

    def create_sync_state(  # noqa: PLR0913 - the columns of a state
        self,
        entity_type: str,
        entity_id: str | UUID,
        jira_id: str | None = None,
        remote_id: str | None = None,
        *,
        system: str | None = None,
        sync_direction: choices.SyncStateDirection = choices.SyncStateDirection.BIDIRECTIONAL,
        resolution_strategy: choices.ResolutionStrategy = choices.ResolutionStrategy.MANUAL,
    ) -> SyncState:
        """Get or create the thing's state, pending at first; a stored state without a remote id gets it.

        `jira_id` is the remote id in Jira and makes Jira the system. Raises ValueError if another remote id is stored.
        """
        if jira_id is not None:
            if system not in (None, JIRA) or remote_id not in (None, jira_id):
                raise ValueError(f"jira_id is the remote id of Jira's rows, not of {system} with {remote_id!r}.")
            system = JIRA
            remote_id = jira_id
        if not system and entity_type in JIRA_TYPES:
            system = JIRA
        _refuse_own_record(entity_type)
        if not system:
            raise ValueError(f"Say with which system a {entity_type} is kept in sync: system=…")
        state, _created = SyncState.objects.get_or_create(
            entity_type=entity_type,
            entity_id=str(entity_id),
            system=system,
            defaults={
                "remote_id": remote_id,
                "sync_direction": sync_direction,
                "resolution_strategy": resolution_strategy,
            },
        )
        if remote_id is not None and state.remote_id is None:
            state.remote_id = remote_id
            state.save(update_fields=["remote_id"])
        if remote_id is not None and state.remote_id != remote_id:
            raise ValueError(f"{state} is stored with the remote id {state.remote_id}, not {remote_id}.")
        return state

    def begin(self, state: SyncState, *, direction: choices.SyncStateDirection | None = None) -> SyncState:
        """Store that the sync has begun."""
        _refuse_own_record(state.entity_type)
        state.sync_status = choices.SyncStatus.IN_PROGRESS
        state.last_sync_attempt = sync_now()
        state.sync_direction = direction or state.sync_direction
        state.save(update_fields=["sync_status", "last_sync_attempt", "sync_direction"])
        return state

    def complete(  # noqa: PLR0913 - the columns of a state
        self,
        state: SyncState,
        *,
        duration_ms: int | None = None,
        api_calls: int = 0,
        content_hash: str | None = None,
        local_modified: datetime | None = None,
        remote_modified: datetime | None = None,
        remote_id: str | None = None,
    ) -> SyncState:
        """Store that the sync succeeded: errors are reset and, unless a conflict is open, the thing is in sync.

        `duration_ms` are milliseconds, by default since `begin`. A hash of the synced content, modified times and a
        remote id are stored if given.
        """
        values = {
            "content_hash": content_hash,
            "local_modified": local_modified,
            "remote_modified": remote_modified,
            "remote_id": remote_id,
        }
        for name, value in values.items():
            if value is not None:
                setattr(state, name, value)
        if not state.conflicts:
            state.last_sync_attempt = state.last_sync_attempt or sync_now()
            state.last_successful_sync = state.last_sync_attempt
        state.error_count = 0
        state.last_error = ""
        state.note = ""
        return self._end(state, choices.SyncStatus.COMPLETED, duration_ms, api_calls)

    def fail(self, state: SyncState, error: str, *, duration_ms: int | None = None, api_calls: int = 0) -> SyncState:
        """Store that the sync failed, with the reason, and count the error."""
        state.error_count += 1
        state.last_error = Message("quoted", quote=without_secrets(error))
        return self._end(state, choices.SyncStatus.FAILED, duration_ms, api_calls)

    def _end(self, state: SyncState, status: choices.SyncStatus, duration_ms: int | None, api_calls: int) -> SyncState:
        _refuse_own_record(state.entity_type)
        if duration_ms is None and state.last_sync_attempt is not None:
            duration_ms = max(0, round((sync_now() - state.last_sync_attempt).total_seconds() * 1000))
        state.sync_status = status
        state.sync_duration_ms = duration_ms
        state.api_calls_count = api_calls
        state.save(update_fields=_ENDED_FIELDS)
        return state

    def record_conflict(
        self,
        state: SyncState,
        conflicts: Mapping[str, Any],
        resolution_strategy: choices.ResolutionStrategy | None = None,
        *,
        edited: merge.EditTimes = UNKNOWN_TIMES,
    ) -> dict[str, Any]:
        """Decide fields that differ; return the value for both sides of each decided field.

        If one side changed a field, its value wins. If both did, the strategy decides: the state's, or the given one,
        which replaces it; *auto* takes the side that was `edited` later. Undecided fields wait in `state.conflicts`,
        with both values, for `resolve_conflict`. The conflict of a field that isn't named ends.

        `conflicts` has a FieldSides by field, or {"local": …, "remote": …} with or without "base", the last agreed
        value; of a single field also {"field": …, "local": …, "remote": …}.
        """
        sides_by_field = _sides_by_field(conflicts)
        _refuse_own_record(state.entity_type)
        strategy = choices.ResolutionStrategy(resolution_strategy or state.resolution_strategy)
        if SYSTEM_OF_STRATEGY.get(strategy, state.system) != state.system:
            raise ValueError(f"{strategy} says nothing about a row of {state.system}.")
        winners = {key: _winner(strategy, sides, edited) for key, sides in sides_by_field.items()}
        values = {}
        for key in [key for key, winner in winners.items() if winner is None]:
            both = {"local": sides_by_field[key].local, "remote": sides_by_field[key].remote}
            values[key] = {side: None if isinstance(value, merge.Unknown) else value for side, value in both.items()}
        had_conflict = bool(state.conflicts)
        state.resolution_strategy = strategy
        _store_conflicts(state, values)
        if values and not had_conflict:
            state.conflict_opened_at = sync_now()
        state.save()
        return {key: getattr(sides_by_field[key], winner) for key, winner in winners.items() if winner is not None}

    def resolve_conflict(
        self, state: SyncState, sides: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Resolve fields of an open conflict by a side (“local” or “remote”) or by another value; return the values.

        Once no field is left, the state is pending. Raises ValueError for a field without an open conflict.
        """
        _refuse_own_record(state.entity_type)
        sides = sides or {}
        values = values or {}
        if unknown := set(sides.values()) - {"local", "remote"}:
            raise ValueError(f"A side is local or remote, not {', '.join(sorted(unknown))}.")
        with transaction.atomic():
            stored = SyncState.objects.select_for_update().get(pk=state.pk)
            open_values = stored.conflicts.get("values", {})
            if missing := {*sides, *values} - set(open_values):
                raise ValueError(f"No open conflict of {stored} is about {', '.join(sorted(missing))}.")
            resolved = {key: open_values[key][side] for key, side in sides.items()} | dict(values)
            _store_conflicts(stored, {key: both for key, both in open_values.items() if key not in resolved})
            if resolved and not stored.conflicts:
                stored.sync_status = choices.SyncStatus.PENDING
            stored.save()
        state.refresh_from_db()
        return resolved

    def statistics(self, system: str | None = None, entity_type: str | None = None) -> dict[str, Any]:
        """Count the states by status, by system and type, in conflict, and never in sync."""
        states = _states(system, entity_type)
        groups = states.order_by().values("system", "entity_type", "sync_status").annotate(number=models.Count("pk"))
        by_status = dict.fromkeys(choices.SyncStatus.values, 0)
        for group in groups:
            by_status[group["sync_status"]] += group["number"]
        never_synced = states.filter(last_successful_sync=None).exclude(sync_status=choices.SyncStatus.SKIPPED)
        return {
            "total": sum(by_status.values()),
            "by_status": by_status,
            "groups": list(groups),
            "conflicts": states.exclude(conflicts={}).count(),
            "never_synced": never_synced.count(),
        }

    def performance(
        self, system: str | None = None, entity_type: str | None = None, window: timedelta = DAY
    ) -> dict[str, Any]:
        """Return durations, calls and success rate of the things whose last attempt was within the window."""
        tried = _states(system, entity_type).filter(last_sync_attempt__gt=sync_now() - window)
        failed = tried.filter(sync_status=choices.SyncStatus.FAILED).count()
        completed = tried.filter(sync_status=choices.SyncStatus.COMPLETED).count()
        durations = sorted(tried.exclude(sync_duration_ms=None).values_list("sync_duration_ms", flat=True))
        # Each state of a batch has the calls of the whole batch.
        batches = tried.exclude(sync_batch_id=None).order_by().values("sync_batch_id")
        calls = sum(batch["calls"] for batch in batches.annotate(calls=models.Max("api_calls_count")))
        calls += tried.filter(sync_batch_id=None).aggregate(calls=models.Sum("api_calls_count", default=0))["calls"]
        number = tried.count()
        return {
            "tried": number,
            "success_rate": completed / (completed + failed) if completed + failed else None,
            "per_hour": number / (window / timedelta(hours=1)),
            "duration_ms": {
                "median": statistics.median_low(durations) if durations else None,
                "p95": durations[int(len(durations) * 0.95)] if durations else None,
                "max": max(durations, default=None),
            },
            "api_calls": calls,
            "api_calls_per_thing": calls / number if number else None,
        }


def _refuse_own_record(entity_type: str) -> None:
    if registry.is_registered(entity_type):
        raise ValueError(
            f"A {entity_type} is a record of this application: its sync state is written by the pass that ends it. Ask "
            "for a pass by SyncQueueService, or save the record."
        )


def _sides_by_field(conflicts: Mapping[str, Any]) -> dict[str, merge.FieldSides]:
    """Return both sides of each field; raises ValueError for any other form."""
    if isinstance(conflicts.get("field"), str):
        sides = {key: value for key, value in conflicts.items() if key != "field"}
        return _sides_by_field({conflicts["field"]: sides})
    sides_by_field = {}
    for key, sides in conflicts.items():
        if isinstance(sides, merge.FieldSides):
            sides_by_field[key] = sides
        elif isinstance(sides, Mapping) and {"local", "remote"} <= sides.keys() <= {"local", "remote", "base"}:
            base = (sides["base"], sides["base"]) if "base" in sides else None
            sides_by_field[key] = merge.FieldSides(sides["local"], sides["remote"], base)
        else:
            raise ValueError(f"The conflict about {key} needs “local” and “remote”, and may have “base”.")
    return sides_by_field


def _winner(strategy: choices.ResolutionStrategy, sides: merge.FieldSides, edited: merge.EditTimes) -> str | None:
    """Return the side whose value wins; None if a person has to decide."""
    if isinstance(sides.local, merge.Unknown) or isinstance(sides.remote, merge.Unknown):
        return None
    if not sides.remote_changed or not sides.local_changed:
        return "local" if sides.local_changed else "remote"
    if sides.equal:
        return "local"
    if strategy == choices.ResolutionStrategy.AUTO:
        if edited.local is None or edited.remote is None or abs(edited.local - edited.remote) <= merge.CLOCK_TOLERANCE:
            return None
        return "local" if edited.local > edited.remote else "remote"
    winners = {
        choices.ResolutionStrategy.LOCAL_WINS: "local",
        choices.ResolutionStrategy.JIRA_WINS: "remote",
        choices.ResolutionStrategy.MONDAY_WINS: "remote",
    }
    return winners.get(strategy)


def _store_conflicts(state: SyncState, values: Mapping[str, Any]) -> None:
    """Set the fields in conflict; without any, an open conflict is resolved."""
    if values:
        state.conflicts = {"fields": list(values), "values": dict(values)}
        state.conflict_resolved_at = None
    elif state.conflicts:
        state.conflicts = {}
        opened_at = state.conflict_opened_at or sync_now()
        state.conflict_resolved_at = max(sync_now(), opened_at)
        state.conflict_opened_at = opened_at


def _states(system: str | None, entity_type: str | None) -> models.QuerySet[Any]:
    filters = {"system": system, "entity_type": entity_type}
    return SyncState.objects.filter(**{name: value for name, value in filters.items() if value is not None})
