"""SyncStateService: the sync state of everything, one row for each thing and the system that it is kept in sync with.

Code that keeps something of its own in sync with another system (sprints and issues with Jira, say) writes its rows by
this service. Rows of this application's own records are written by the pass that settles them, and only read here;
how such a record stands is said by record_view.py. Nothing of a connector is loaded here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DataError, transaction
from django.db.models import Case, F, Func, IntegerField, Q, QuerySet, When

from sync import registry
from sync.choices import LedgerDirection, ResolutionStrategy, SyncStatus
from sync.clock import SyncNow, sync_now
from sync.kernel.db import fetch_rows, run_sql
from sync.kernel.secret_texts import without_secrets
from sync.merge import Action, Base, EditTimes, Field, FieldSides, Rule, Unknown, decide_field
from sync.models import SyncState
from sync.models.state import JIRA

SYSTEM_OF_STRATEGY = {"jira_wins": "jira", "monday_wins": "monday"}
"""The system that a strategy names; it says nothing about rows of another one."""

UNKNOWN_TIMES = EditTimes()

_RULES = {
    "manual": Rule.ASK,
    "local_wins": Rule.NPD_WINS,
    "jira_wins": Rule.MONDAY_WINS,
    "monday_wins": Rule.MONDAY_WINS,
    "auto": Rule.NEWEST,
}
"""Of the two sides the merge calls the other system's Monday."""


@dataclass(frozen=True)
class FieldChoice:
    """What becomes of one field: `value` is to stand on both sides, unless the field is still `open`.

    `is_disputed` is whether both sides had changed it differently, so that the strategy was asked at all.
    """

    value: Any
    action: Action
    is_disputed: bool

    @property
    def open(self) -> bool:
        return self.action is Action.CONFLICT


def choose(
    strategy: str, conflicts: Mapping[str, FieldSides], edited: EditTimes = UNKNOWN_TIMES
) -> dict[str, FieldChoice]:
    """Decide each field: what only one side changed is that side's under every strategy, as is what both agree on.

    Where both changed it differently, *local_wins*, *jira_wins* and *monday_wins* take that side; *auto* unites lists
    of texts, and otherwise takes the side that was `edited` later, if both times are known and more than five seconds
    apart; *manual*, and *auto* where it can't tell, leave it open. So does every strategy where a side isn't known.
    """
    return {key: _choose(strategy, key, sides, edited) for key, sides in conflicts.items()}


def _choose(strategy: str, key: str, sides: FieldSides, edited: EditTimes) -> FieldChoice:
    if isinstance(sides.local, Unknown) or isinstance(sides.remote, Unknown):
        return FieldChoice(None, Action.CONFLICT, True)
    # The merge knows lists as tuples; JSON brings lists.
    local, remote = _canonical(sides.local), _canonical(sides.remote)
    base = Base(*map(_canonical, sides.base)) if sides.base else None
    are_lists = all(map(_is_texts, (local, remote, *((base.local, base.remote) if base else ()))))
    rule = Rule.UNION if strategy == "auto" and are_lists else _RULES[strategy]
    decision = decide_field(Field(key, local, remote, base, rule=rule, first_match=rule, edited=edited))
    found = {Action.PULL: remote, Action.BOTH: decision.value, Action.CONFLICT: None}.get(decision.action, local)
    one_sided = base is None and None in (local, remote)
    has_moved = base is None or (local != base.local and remote != base.remote)
    is_disputed = local != remote and has_moved and not one_sided
    return FieldChoice(list(found) if isinstance(found, tuple) else found, decision.action, is_disputed)


def _canonical(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _is_texts(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and all(isinstance(one, str) for one in value))


JIRA_TYPES = frozenset({"sprint", "issue", "project", "board"})
"""Types of things that are Jira's, where no system is named and no synced model is called so."""

ABANDONED_AFTER = timedelta(minutes=15)
"""Who began and has said nothing for so long is taken to be dead."""

MAX_HASH = 64
"""Characters of a content hash."""

MAX_INTEGER = 2**31 - 1
"""What a duration or a number of calls can be at most; more is written as this."""


class LedgerError(Exception):
    """The message says why nothing was written.

    ├── OwnRecord          a record of this application, whose row the engine writes
    ├── StateBusy          another worker has begun it
    ├── StateLost          begun, but by now another worker's, or finished already
    ├── RemoteIdDiffers    stored with another remote id
    └── NotInConflict      a field that no open conflict is about
    """


class OwnRecord(LedgerError):
    """A record of this application, whose row the engine writes."""


class StateBusy(LedgerError):
    """Another worker has begun it."""


class StateLost(LedgerError):
    """Begun, but by now another worker's, or finished already."""


class RemoteIdDiffers(LedgerError):
    """Stored with another remote id."""


class NotInConflict(LedgerError):
    """A field that no open conflict is about."""


@dataclass(frozen=True)
class SyncBatch:
    """Rows that one worker has begun together: the batch's id, and how many there are."""

    id: UUID
    number: int

    @property
    def states(self) -> QuerySet[SyncState]:
        rows: QuerySet[SyncState] = SyncState.objects.filter(sync_batch_id=self.id, sync_status=SyncStatus.IN_PROGRESS)
        return rows.order_by("entity_id")


@dataclass(frozen=True)
class BatchResult:
    """How many rows of a batch ended how; `returned` ones were named nowhere and wait again."""

    completed: int
    failed: int
    skipped: int
    returned: int


# In the order of the ids, so that two workers who bring the same ids wait for each other and never in a circle.
_CREATE = """
    WITH made AS (
        INSERT INTO sync_metadata (entity_type, entity_id, system, remote_id, sync_direction, resolution_strategy)
        SELECT %(entity_type)s, given.entity_id, %(system)s, given.remote_id, %(direction)s, %(strategy)s
        FROM unnest(%(entity_ids)s::text[], %(remote_ids)s::text[]) AS given (entity_id, remote_id)
        ORDER BY given.entity_id
        ON CONFLICT (entity_type, entity_id, system) DO UPDATE SET remote_id = excluded.remote_id
            WHERE sync_metadata.remote_id IS NULL AND excluded.remote_id IS NOT NULL
        RETURNING (xmax = 0) AS is_new)
    SELECT count(*) FILTER (WHERE is_new) FROM made
"""

_NEEDING = """
    SELECT given.entity_id FROM unnest(%(entity_ids)s::text[], %(hashes)s::text[]) AS given (entity_id, content_hash)
    LEFT JOIN sync_metadata AS ledger ON ledger.entity_type = %(entity_type)s AND ledger.system = %(system)s
        AND ledger.entity_id = given.entity_id
    WHERE ledger.id IS NULL OR ledger.sync_status IN ('pending', 'failed')
        OR (ledger.sync_status = 'completed' AND ledger.content_hash <> given.content_hash)
        OR (ledger.sync_status = 'in_progress' AND (ledger.last_sync_attempt IS NULL
            OR ledger.last_sync_attempt < sync_now() - %(abandoned_after)s::interval))
"""

# Rows that another worker is about to begin are passed over, not waited for.
_BEGIN = """
    UPDATE sync_metadata AS ledger SET sync_status = 'in_progress', last_sync_attempt = sync_now(),
        sync_batch_id = %(batch)s, sync_direction = coalesce(%(direction)s, ledger.sync_direction)
    FROM (
        SELECT id FROM sync_metadata
        WHERE entity_type = %(entity_type)s AND system = %(system)s
            AND (entity_id = ANY (%(entity_ids)s::text[])
                OR (%(entity_ids)s::text[] IS NULL AND sync_status <> 'skipped'))
            AND (sync_status <> 'in_progress' OR last_sync_attempt IS NULL
                OR last_sync_attempt < sync_now() - %(abandoned_after)s::interval)
        ORDER BY id FOR UPDATE SKIP LOCKED) AS free
    WHERE ledger.id = free.id
"""

# A row with an open conflict ends as completed, but was not brought into sync. Looked up in one JSON object and joined
# by the key alone: whatever PostgreSQL thinks of how many rows there are, it can't compare each with each.
_FINISH = """
    WITH mine AS MATERIALIZED (
        SELECT id, %(ends)s::jsonb -> entity_id AS given FROM sync_metadata
        WHERE sync_batch_id = %(batch)s AND sync_status = 'in_progress' ORDER BY id FOR UPDATE
    ), ended AS (
        UPDATE sync_metadata AS ledger SET
            sync_status = coalesce(given ->> 'status', 'pending'),
            last_successful_sync = CASE WHEN given ->> 'status' = 'completed' AND ledger.conflicts = '{}'
                THEN ledger.last_sync_attempt ELSE ledger.last_successful_sync END,
            error_count = CASE given ->> 'status' WHEN 'completed' THEN 0 WHEN 'failed' THEN ledger.error_count + 1
                ELSE ledger.error_count END,
            last_error = CASE given ->> 'status' WHEN 'completed' THEN '' WHEN 'failed' THEN given ->> 'said'
                ELSE ledger.last_error END,
            note = CASE given ->> 'status' WHEN 'completed' THEN '' WHEN 'skipped' THEN given ->> 'said'
                ELSE ledger.note END,
            content_hash = CASE given ->> 'status' WHEN 'completed' THEN coalesce(given ->> 'said', ledger.content_hash)
                ELSE ledger.content_hash END,
            api_calls_count = %(api_calls)s,
            sync_duration_ms = least(2147483647,
                greatest(0, extract(epoch FROM sync_now() - ledger.last_sync_attempt) * 1000))::int
        FROM mine WHERE ledger.id = mine.id
        RETURNING ledger.sync_status)
    SELECT sync_status, count(*) FROM ended GROUP BY 1
"""


@contextmanager
def _fits() -> Iterator[None]:
    """What the table can't hold is the caller's mistake: ValueError."""
    try:
        yield
    except DataError as error:
        raise ValueError(f"The sync state can't be stored: {error}") from error


class SyncStateService:
    """Every thing's sync state: written for what other code keeps in sync, read for everything.

    The methods that write raise OwnRecord for a type of this application's own records, and ValueError where neither
    a system is named nor the type is one of Jira's, or a value is longer than its column: 50 characters of a type or a
    remote id, 20 of a system, 64 of a content hash. Times are the database's. Two workers may call at once: who begins
    a state owns it until it is finished, or has been silent for 15 minutes; the other is told so.
    """

    # Making and finding.

    def create_sync_state(
        self,
        entity_type: str,
        entity_id: str | UUID,
        jira_id: str | None = None,
        remote_id: str | None = None,
        *,
        system: str | None = None,
        sync_direction: LedgerDirection = LedgerDirection.BIDIRECTIONAL,
        resolution_strategy: ResolutionStrategy = ResolutionStrategy.MANUAL,
    ) -> SyncState:
        """Return the thing's state, made as pending where there is none; once or often called, there is one.

        `jira_id` is the remote id in Jira and makes Jira the system. A state that lacked its remote id gets it. What
        else is stored stays. Raises RemoteIdDiffers where another remote id is stored.
        """
        system = _writable(entity_type, JIRA if jira_id is not None and system is None else system)
        if jira_id is not None and (system != JIRA or remote_id not in (None, jira_id)):
            raise ValueError(f"jira_id is the remote id of Jira's rows; this one is of {system} with {remote_id!r}.")
        remote_id = remote_id if jira_id is None else jira_id
        self.create_sync_states(
            entity_type,
            {str(entity_id): remote_id},
            system=system,
            sync_direction=sync_direction,
            resolution_strategy=resolution_strategy,
        )
        state = self.get(entity_type, entity_id, system=system)
        if remote_id is not None and state.remote_id != remote_id:
            raise RemoteIdDiffers(f"{state} is stored with the remote id {state.remote_id}, not {remote_id}.")
        return state

    def create_sync_states(
        self,
        entity_type: str,
        remote_ids: Mapping[str, str | None],
        *,
        system: str | None = None,
        sync_direction: LedgerDirection = LedgerDirection.BIDIRECTIONAL,
        resolution_strategy: ResolutionStrategy = ResolutionStrategy.MANUAL,
    ) -> int:
        """Make many states in one statement, and return how many are new; `remote_ids` has each thing's, or None.

        A stored remote id stays, whatever is given.
        """
        params: dict[str, Any] = {
            "entity_type": entity_type,
            "system": _writable(entity_type, system),
            "direction": str(LedgerDirection(sync_direction)),
            "strategy": str(ResolutionStrategy(resolution_strategy)),
            "entity_ids": list(remote_ids),
            "remote_ids": list(remote_ids.values()),
        }
        with _fits():
            return int(fetch_rows(_CREATE, params)[0][0])

    def get(self, entity_type: str, entity_id: str | UUID, *, system: str | None = None) -> SyncState:
        """Return a stored state, of an own record too; raises SyncState.DoesNotExist.

        One that is in progress can be ended by who loads it so, as by who began it: don't, unless you are that worker.
        """
        state: SyncState = SyncState.objects.get(
            entity_type=entity_type, entity_id=str(entity_id), system=system or _system_of(entity_type)
        )
        return state

    def needs_sync(
        self,
        state: SyncState,
        *,
        content_hash: str | None = None,
        local_modified: datetime | None = None,
        remote_modified: datetime | None = None,
        abandoned_after: timedelta = ABANDONED_AFTER,
    ) -> bool:
        """Whether a state has to be synced, as it was loaded and by what the thing says now.

        Pending and failed ones do, skipped ones don't, and those in progress where they were begun longer than
        `abandoned_after` ago (which alone asks the database: for the time). A completed one does where the content's
        hash is another than the stored one, or none is stored; where none is given, where one of the modified times
        is later than the stored one.
        """
        if state.sync_status == SyncStatus.IN_PROGRESS:
            return state.last_sync_attempt is None or state.last_sync_attempt < sync_now() - abandoned_after
        if state.sync_status != SyncStatus.COMPLETED:
            return state.sync_status in (SyncStatus.PENDING, SyncStatus.FAILED)
        if content_hash is not None:
            return content_hash != state.content_hash
        times = ((local_modified, state.local_modified), (remote_modified, state.remote_modified))
        return any(now is not None and (then is None or now > then) for now, then in times)

    def needing_sync(
        self,
        entity_type: str,
        hashes: Mapping[str, str],
        *,
        system: str | None = None,
        abandoned_after: timedelta = ABANDONED_AFTER,
    ) -> set[str]:
        """Return which of these things have to be synced, by the hash of what each says now, in one statement.

        As `needs_sync`; a thing without a state has to be, too.
        """
        params: dict[str, Any] = {
            "entity_type": entity_type,
            "system": system or _system_of(entity_type),
            "entity_ids": list(hashes),
            "hashes": list(hashes.values()),
            "abandoned_after": abandoned_after,
        }
        return {entity_id for (entity_id,) in fetch_rows(_NEEDING, params)}

    def stale(
        self, older_than: timedelta, *, system: str | None = None, entity_type: str | None = None
    ) -> QuerySet[SyncState]:
        """Return the states whose last success is longer ago than this, or never was; the never synced first.

        Skipped ones are not meant to be synced and so never stale.
        """
        given = {"system": system, "entity_type": entity_type}
        rows: QuerySet[SyncState] = SyncState.objects.stale(older_than)
        rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
        return rows.order_by(F("last_successful_sync").asc(nulls_first=True), "id")

    # One sync of one thing.

    def begin(
        self,
        state: SyncState,
        *,
        direction: LedgerDirection | None = None,
        abandoned_after: timedelta = ABANDONED_AFTER,
    ) -> SyncState:
        """Have the state in progress and return it as it is now; from here on it is the caller's.

        One that somebody began longer than `abandoned_after` ago is taken over. Raises StateBusy where another worker
        has begun it.
        """
        _writable(state.entity_type, state.system)
        values = {"sync_direction": LedgerDirection(direction)} if direction else {}
        is_free = (
            ~Q(sync_status=SyncStatus.IN_PROGRESS)
            | Q(last_sync_attempt=None)
            | Q(last_sync_attempt__lt=SyncNow() - abandoned_after)
        )
        begun = SyncState.objects.filter(is_free, pk=state.pk).update(
            sync_status=SyncStatus.IN_PROGRESS, last_sync_attempt=SyncNow(), sync_batch_id=uuid.uuid4(), **values
        )
        if not begun:
            raise StateBusy(f"{state.entity_type} {state.entity_id} is in progress: another worker has begun it.")
        state.refresh_from_db()
        return state

    def complete(
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
        """End a begun state as completed: its errors are over, and unless a conflict is open, it is in sync.

        `duration_ms` are milliseconds, measured since `begin` where not given; `api_calls` the calls made for it alone.
        `content_hash` (at most 64 characters), the modified times and the remote id (at most 50) are stored where
        given. Raises StateLost, also where its conflict was resolved since `begin`: it waits, to be synced so; and
        ValueError for what is too long.
        """
        _check_hash(content_hash)
        given = {
            "content_hash": content_hash,
            "local_modified": local_modified,
            "remote_modified": remote_modified,
            "remote_id": remote_id,
        }
        in_sync = Case(When(conflicts={}, then=F("last_sync_attempt")), default=F("last_successful_sync"))
        return self._end(
            state,
            SyncStatus.COMPLETED,
            duration_ms,
            api_calls,
            last_successful_sync=in_sync,
            error_count=0,
            last_error="",
            note="",
            **{name: value for name, value in given.items() if value is not None},
        )

    def fail(self, state: SyncState, error: str, *, duration_ms: int | None = None, api_calls: int = 0) -> SyncState:
        """End a begun state as failed with what went wrong, and count it; raises StateLost.

        This installation's secrets are taken out of the error. `duration_ms` and `api_calls` as `complete` has them.
        """
        count, said = F("error_count") + 1, without_secrets(_storable(error))
        return self._end(state, SyncStatus.FAILED, duration_ms, api_calls, error_count=count, last_error=said)

    def skip(self, state: SyncState, why: str) -> SyncState:
        """End a begun state as one that is not to be synced, with the reason; raises StateLost."""
        return self._end(state, SyncStatus.SKIPPED, None, 0, note=_storable(why))

    def _end(
        self, state: SyncState, status: SyncStatus, duration_ms: int | None, api_calls: int, **values: Any
    ) -> SyncState:
        _writable(state.entity_type, state.system)
        with _fits():
            ended = _begun(state).update(
                sync_status=status,
                sync_duration_ms=_MEASURED if duration_ms is None else min(duration_ms, MAX_INTEGER),
                api_calls_count=min(api_calls, MAX_INTEGER),
                **values,
            )
        if not ended:
            raise _lost(state)
        state.refresh_from_db()
        return state

    # Conflicts.

    def record_conflict(
        self,
        state: SyncState,
        conflicts: Mapping[str, FieldSides],
        resolution_strategy: ResolutionStrategy | None = None,
        *,
        edited: EditTimes = UNKNOWN_TIMES,
    ) -> dict[str, FieldChoice]:
        """Decide the fields of a begun state that differ, by its strategy or the one given, which it then has.

        `conflicts` are all fields that differ now: a field that an earlier call left open, and this one doesn't name,
        is open no more. Returns of every field the value that is to stand on both sides; those that are `open` wait
        for a person, and are stored with both values (JSON; of a side that isn't known null, and why under
        `unknown`) until `resolve_conflict`. `edited` says when each side was changed, for
        *auto*. The state stays in progress: write what was decided, then `complete`. Raises StateLost, and ValueError
        for a strategy by which another system than the state's would win.
        """
        _writable(state.entity_type, state.system)
        strategy = ResolutionStrategy(resolution_strategy or state.resolution_strategy)
        if SYSTEM_OF_STRATEGY.get(strategy, state.system) != state.system:
            raise ValueError(f"{strategy} says nothing about a row of {state.system}.")
        choices = choose(strategy, conflicts, edited)
        still_open = [key for key, choice in choices.items() if choice.open]
        content = {"fields": still_open, "values": {key: _both_values(conflicts[key]) for key in still_open}}
        now = sync_now()
        with _fits(), transaction.atomic():
            stored = _begun(state).select_for_update().first()
            if stored is None:
                raise _lost(state)
            if still_open:
                stored.conflict_opened_at = stored.conflict_opened_at if stored.conflicts else now
                stored.conflict_resolved_at = None
            elif stored.conflicts:
                _close(stored, now)
            elif not still_open and any(choice.is_disputed for choice in choices.values()):
                stored.conflict_opened_at = stored.conflict_resolved_at = now
            stored.conflicts, stored.resolution_strategy = content if still_open else {}, strategy
            stored.save(update_fields=_CONFLICT_FIELDS)
        state.refresh_from_db()
        return choices

    def resolve_conflict(
        self, state: SyncState, sides: Mapping[str, str] | None = None, values: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Resolve fields of an open conflict: `sides` says “local” or “remote” of one, `values` names another value.

        Returns the value of each that is to stand on both sides. Once no field is left the state waits (pending), to be
        synced so, and a worker that holds it has lost it (StateLost; a batch passes it over). Raises NotInConflict,
        also where somebody else has resolved it meanwhile, and ValueError for a side that is neither.
        """
        _writable(state.entity_type, state.system)
        sides, values = sides or {}, values or {}
        if unknown := set(sides.values()) - {"local", "remote"}:
            raise ValueError(f"A side is local or remote, not {', '.join(sorted(unknown))}.")
        with _fits(), transaction.atomic():
            stored = SyncState.objects.select_for_update().get(pk=state.pk)
            held = stored.conflicts.get("values", {})
            if missing := {*sides, *values} - set(held):
                raise NotInConflict(f"No open conflict of {stored} is about {', '.join(sorted(missing))}.")
            resolved = {key: held[key][side] for key, side in sides.items()} | dict(values)
            left = [key for key in stored.conflicts["fields"] if key not in resolved] if held else []
            stored.conflicts = {"fields": left, "values": {key: held[key] for key in left}} if left else {}
            if held and not left:
                _close(stored, sync_now())
                # Its holder may have read it before. What has ended stays of its batch, whose calls it counts.
                if stored.sync_status == SyncStatus.IN_PROGRESS:
                    stored.sync_batch_id = None
                stored.sync_status = SyncStatus.PENDING
            stored.save(update_fields=[*_CONFLICT_FIELDS, "sync_status", "sync_batch_id"])
        state.refresh_from_db()
        return resolved

    # Many things at once.

    def begin_batch(
        self,
        entity_type: str,
        entity_ids: Iterable[str] | None = None,
        *,
        system: str | None = None,
        direction: LedgerDirection | None = None,
        abandoned_after: timedelta = ABANDONED_AFTER,
    ) -> SyncBatch:
        """Begin many states of one type in one statement: these, or all that are not skipped.

        Those that others have begun within `abandoned_after` are left out.
        """
        batch = uuid.uuid4()
        params: dict[str, Any] = {
            "batch": batch,
            "entity_type": entity_type,
            "system": _writable(entity_type, system),
            "entity_ids": None if entity_ids is None else list(entity_ids),
            "direction": direction and str(LedgerDirection(direction)),
            "abandoned_after": abandoned_after,
        }
        return SyncBatch(batch, run_sql(_BEGIN, params))

    def finish_batch(
        self,
        batch: SyncBatch,
        *,
        completed: Mapping[str, str | None] | None = None,
        failed: Mapping[str, str] | None = None,
        skipped: Mapping[str, str] | None = None,
        api_calls: int = 0,
    ) -> BatchResult:
        """End a batch in one statement: `completed` has content hashes (or None), the others reasons, by entity id.

        A row that is named nowhere waits again: what nobody vouches for is not in sync. `api_calls` are those of the
        whole batch, which each of its rows then says. Rows that another worker has taken over are left to it, and those
        whose conflict was resolved meanwhile wait. Raises ValueError for a hash of more than 64 characters, and for a
        thing that would end in two ways.
        """
        for content_hash in (completed or {}).values():
            _check_hash(content_hash)
        failed = {key: without_secrets(_storable(why)) for key, why in (failed or {}).items()}
        skipped = {key: _storable(why) for key, why in (skipped or {}).items()}
        said = (("completed", completed or {}), ("failed", failed), ("skipped", skipped))
        ends = {key: {"status": status, "said": text} for status, named in said for key, text in named.items()}
        if len(ends) < sum(len(named) for _status, named in said):
            raise ValueError("A thing can end in one way only.")
        params: dict[str, Any] = {"batch": batch.id, "ends": json.dumps(ends), "api_calls": min(api_calls, MAX_INTEGER)}
        with _fits():
            counts = dict(fetch_rows(_FINISH, params))
        return BatchResult(*(counts.get(status, 0) for status in ("completed", "failed", "skipped", "pending")))


_CONFLICT_FIELDS = ["conflicts", "resolution_strategy", "conflict_opened_at", "conflict_resolved_at"]

_MEASURED = Func(
    template="least(2147483647, greatest(0, extract(epoch FROM sync_now() - last_sync_attempt) * 1000))::int",
    output_field=IntegerField(),
)


def _check_hash(content_hash: str | None) -> None:
    """Before the statement: a refused one would end its transaction. Raises ValueError."""
    if content_hash is not None and len(content_hash) > MAX_HASH:
        raise ValueError(f"A content hash has at most {MAX_HASH} characters, not {len(content_hash)}.")


def _storable(text: str) -> str:
    """A text as PostgreSQL takes it, whatever a foreign system said."""
    return "".join("\ufffd" if char == "\x00" or "\ud800" <= char <= "\udfff" else char for char in text)


def _both_values(sides: FieldSides) -> dict[str, Any]:
    """A field's values as they are stored; of a side that isn't known none, and why."""
    both = {"local": sides.local, "remote": sides.remote}
    unknown = {side: value.reason for side, value in both.items() if isinstance(value, Unknown)}
    known = {side: None if side in unknown else value for side, value in both.items()}
    return known | ({"unknown": unknown} if unknown else {})


def _close(state: SyncState, now: datetime) -> None:
    """A conflict ends no sooner than it was opened, though the clock may step back."""
    state.conflict_resolved_at = max(now, state.conflict_opened_at or now)


def _system_of(entity_type: str) -> str:
    """The system of a type where none is named. Raises ValueError."""
    if registry.is_registered(entity_type):
        return "monday"
    if entity_type in JIRA_TYPES:
        return JIRA
    raise ValueError(f"Say with which system a {entity_type} is kept in sync: system=…")


def _writable(entity_type: str, system: str | None) -> str:
    """The system of a row that others may write. Raises OwnRecord."""
    if registry.is_registered(entity_type):
        raise OwnRecord(
            f"A {entity_type} is a record of this application: its sync state is written by the pass that ends it "
            "(sync.reconcile), and by nobody else. Ask for a pass by SyncQueueService, or save the record."
        )
    return system or _system_of(entity_type)


def _begun(state: SyncState) -> QuerySet[SyncState]:
    """The row as its beginner knows it: none where another worker has it, or it is finished."""
    rows: QuerySet[SyncState] = SyncState.objects.filter(
        pk=state.pk, sync_status=SyncStatus.IN_PROGRESS, sync_batch_id=state.sync_batch_id
    )
    return rows


def _lost(state: SyncState) -> StateLost:
    return StateLost(
        f"{state.entity_type} {state.entity_id} is not yours: begin it first; begun, another worker has it or it is "
        "finished."
    )
