"""A started set-up: stored on its board's row, carried out by a worker; each step is safe to repeat.

A board is set up as `monday_setup` does it (`boards/board_setup.py`), with a person's choices instead of the
registered ones. Ordinary passes do the rest.

`BoardLink.setup` holds `state`, `by`, `started`, the `choices` (see `Choices`), and the `items_to_check` of the plan;
`token` and `until`, the lock of the worker that has it; `made_board` once the worker has created the board; in the end
`done` and `problems`, or the `problem` that stopped or delayed it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from sync import registry
from sync.boards import board_columns, board_setup, field_choices
from sync.boards.board_setup import SetupChoices, apply_choices
from sync.choices import Cause, Priority, SyncDirection
from sync.clock import sync_now
from sync.kernel import process
from sync.kernel.messages import ActionError, Conflict
from sync.limits import breaker, connector
from sync.models import BoardLink, FieldMapping, UnmatchedItem
from sync.models.synced_model import unsynced
from sync.monday.board import Board, BoardSetup, ColumnSpec
from sync.monday.errors import PASSING_SCOPES, MondayError
from sync.operations.detect.missed_events import enqueue_items
from sync.operations.person_requests import enqueue_affected
from sync.operations.setup import selection
from sync.operations.setup.plan import PLAN_DONE, STALLED_AFTER, BoardPlan, SetupPlan
from sync.operations.setup.selection import DONE, RUNNING, STOPPED
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue

log = structlog.get_logger(__name__)

# Each step renews the lock. If a worker is killed, another one continues once the lock has run out.
LOCK_SECONDS = 180


class SetupLost(RuntimeError):
    """Another worker has taken over the set-up, so this one stores nothing."""


def start(user: User, boards: Sequence[selection.ChosenBoard], plan: SetupPlan) -> None:
    """Start the set-up of all boards, or of none; raises ActionError, Conflict.

    Locks all boards' rows and checks the choices again, because they were read before the lock.
    """
    if plan.state != PLAN_DONE or plan.is_old:
        raise Conflict("The plan is not made yet, or too old: people worked on both sides meanwhile. Look at it again.")
    plans = {board.entity_type: board for board in plan.boards}
    with transaction.atomic():
        # A row that doesn't exist can't be locked.
        for spec in registry.entities():
            BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
        links = {link.entity_type: link for link in BoardLink.objects.select_for_update().order_by("entity_type")}
        for chosen in boards:
            _check(chosen, links[chosen.choices.entity_type], plans[chosen.choices.entity_type])
        for chosen in boards:
            _store_start(user, chosen, plans[chosen.choices.entity_type])
        transaction.on_commit(lambda: notify.send_task("sync.set_up"), robust=True)


def _check(chosen: selection.ChosenBoard, link: BoardLink, plan: BoardPlan) -> None:
    """Raise ActionError or Conflict if the locked board can't be set up by this plan any more."""
    choices = chosen.choices
    title = choices.spec.board_title
    if selection.is_running(link):
        raise Conflict(f"{title}: a set-up was started meanwhile. Wait until it is done.")
    if plan.settings != selection.board_settings(choices.link):
        raise Conflict(
            f"{title}: settings were changed elsewhere meanwhile. Compare again: the plan then says what it changes of "
            "them."
        )
    if problems := chosen.problem_text:
        raise Conflict(f"{title}: {problems}")
    selection.check_other_types(choices.entity_type, choices.board_id)


def _store_start(user: User, chosen: selection.ChosenBoard, plan: BoardPlan) -> None:
    choices = chosen.choices
    setup = {
        "state": RUNNING,
        "by": user.get_username(),
        "started": sync_now().isoformat(),
        "choices": choices.to_json(),
        "items_to_check": plan.items_to_check,
    }
    BoardLink.objects.filter(entity_type=choices.entity_type).update(setup=setup)
    sentences = [
        f"Set-up started: {plan.summary}.",
        f"Changed mappings: {', '.join(chosen.changed_labels) or 'none'}.",
        f"Filter: {' '.join(chosen.filter_lines) or 'everything is synced.'}",
        f"Where both sides differ at first: {choices.first_match_text}.",
        *(_create_related(plan.missing) if choices.makes_related else []),
    ]
    selection.log_setup(user, choices.entity_type, " ".join(sentences))


def _create_related(missing: Mapping[str, Sequence[str]]) -> list[str]:
    """Create related records from the missing names, by type; return what was created, as sentences."""
    sentences = []
    for entity_type, names in missing.items():
        model = registry.entity(entity_type).model
        records = model._default_manager.bulk_create(selection.named_records(model, names))
        sentences.append(f"Created {registry.count_of_type(len(records), entity_type)} named by items.")
    return sentences


def setup_progress() -> list[dict[str, Any]]:
    """Return the state of each started set-up, with its steps and problems so far."""
    rows = []
    for spec in registry.entities():
        link = BoardLink.objects.filter(entity_type=spec.entity_type).exclude(setup=None).first()
        if link is None:
            continue
        setup = link.setup
        state = setup["state"]
        is_unclaimed = state == RUNNING and "until" not in setup
        rows.append({
            "title": spec.board_title,
            "state": state,
            "label": {RUNNING: "Being applied", STOPPED: "Stopped", DONE: "Applied"}[state],
            "is_stalled": is_unclaimed and sync_now() - datetime.fromisoformat(setup["started"]) > STALLED_AFTER,
            "done": setup.get("done", []),
            "problems": [*setup.get("problems", []), *filter(None, [setup.get("problem", "")])],
        })  # fmt: skip
    return rows


def advance_setups() -> None:
    """Continue the started set-ups, one after another, in the order in which types are registered.

    A type with a relation comes after the type that it points at, and waits until that type's board exists.
    """
    for spec in registry.entities():
        if process.is_shutting_down():
            return
        started = _claim(spec.entity_type)
        try:
            if started is not None:
                _advance(started)
        except SetupLost:
            log.info("a set-up is another worker's by now", board=spec.entity_type)
        except SoftTimeLimitExceeded:
            # The task ran out of time, which isn't the set-up's failure: a later run continues it.
            raise
        except Exception:  # an unknown error of one type must not delay the others
            log.exception("a set-up could not be continued", board=spec.entity_type)
            if started is not None:
                started.release(STOPPED, problem="NPD Sync itself failed. Please report it with the worker's log.")
        if BoardLink.objects.filter(entity_type=spec.entity_type, setup__state=RUNNING).exists():
            return


@transaction.atomic
def _claim(entity_type: str) -> StartedSetup | None:
    """Take a started set-up that no worker has locked."""
    link = BoardLink.objects.select_for_update().filter(entity_type=entity_type, setup__state=RUNNING).first()
    if link is None:
        return None
    until = parse_datetime(link.setup.get("until") or "")
    if until is not None and until > sync_now():
        return None
    started = StartedSetup(entity_type, {**link.setup, "token": uuid.uuid4().hex, "until": _lock_end(LOCK_SECONDS)})
    BoardLink.objects.filter(pk=link.pk).update(setup=started.setup)
    return started


def _advance(started: StartedSetup) -> None:
    try:
        # Each call renews the lock, because many slow calls take longer than it lasts.
        result = apply_choices(started, connector(urgent=True, before_call=started.save))
        _enqueue_records(started)
    except ActionError as why:
        started.release(STOPPED, problem=str(why))
        return
    except MondayError as error:
        if error.scope not in PASSING_SCOPES:
            started.release(STOPPED, problem=error.sentence)
            return
        # A later run tries again.
        breaker.stop_account(error)
        problem = f"{error.sentence} The set-up goes on by itself."
        started.release(RUNNING, problem=problem, until=_lock_end(error.wait_seconds or 10))
        return
    started.release(DONE, done=result.done, problems=list(result.problems))
    person = User.objects.filter(username=started.setup.get("by")).first()
    if person is not None:
        selection.log_setup(person, started.spec.entity_type, "Set-up done.")


def _enqueue_records(started: StartedSetup) -> None:
    """Enqueue all records without an item, and the items that the plan found without a record."""
    spec = started.spec
    link = BoardLink.objects.get(entity_type=spec.entity_type)
    names = started.setup["items_to_check"]
    unlinked = spec.model._default_manager.filter(monday_id=None).exclude(unsynced())
    ids = list(unlinked.order_by("created_at", "pk").values_list("pk", flat=True))
    with transaction.atomic():
        enqueue(spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.LOAD)
        enqueue_items(link, names.keys(), cause=Cause.SWEEP, names=names)


class StartedSetup(SetupChoices):
    """A started set-up that a worker carries out; each step stores its progress on the board's row."""

    def __init__(self, entity_type: str, setup: dict[str, Any]) -> None:
        # An empty link, because the methods below replace all those that read it.
        super().__init__(registry.entity(entity_type), BoardLink(entity_type=entity_type))
        self.setup = setup
        self.choices = selection.Choices.parse(setup["choices"])
        self.board_was_created = bool(setup.get("made_board"))

    def save(self, **values: Any) -> None:
        """Store values and renew the lock; raises SetupLost if another worker has the set-up."""
        self.setup |= values | {"until": _lock_end(LOCK_SECONDS)}
        if not self._claimed_row().filter(setup__state=RUNNING).update(setup=self.setup):
            raise SetupLost

    def release(self, state: str, **values: Any) -> None:
        """Store how the set-up ended, or when it continues; its choices are stored until it is done."""
        dropped = {"token", "until", "problem"}
        if state == DONE:
            dropped |= {"choices", "items_to_check"}
        remaining = {key: value for key, value in self.setup.items() if key not in dropped}
        self._claimed_row().update(setup={**remaining, **values, "state": state})

    def _claimed_row(self) -> QuerySet[BoardLink]:
        return BoardLink.objects.filter(entity_type=self.spec.entity_type, setup__token=self.setup["token"])

    def board_id(self) -> str:
        return self.choices.board_id

    def on_board_created(self, board_id: str) -> None:
        self.save(choices={**self.setup["choices"], "board_id": board_id}, made_board=True)
        self.choices = selection.Choices.parse(self.setup["choices"])

    def missing_board_message(self, board_id: str) -> str:
        return selection.removed_board_text(self.choices.board_name, board_id, None)

    def columns(self, board: Board) -> Sequence[ColumnSpec]:
        chosen = selection.ChosenBoard(self.choices, board)
        present = []
        new = []
        for mappable in chosen.fields:
            choice = self.choices.choice_of(mappable)
            if not choice.is_synced or mappable.is_name:
                continue
            if choice.column == field_choices.NEW_COLUMN:
                new.append(self._new_column(board, mappable))
                continue
            column = board.column(choice.column)
            reason = field_choices.column_problem(mappable, column) if column else "It is not on the board any more."
            if column is None or reason:
                raise ActionError(f"{mappable.label} can't have its column: {reason} Choose another column.")
            present.append(replace(mappable.column_spec(column.id), title=column.title, type=column.type))
        # Existing columns first, so that a new one doesn't adopt a column that was chosen for another field.
        return [*present, board_columns.npd_id_spec(chosen.npd_id), *new]

    def _new_column(self, board: Board, mappable: field_choices.MappableField) -> ColumnSpec:
        if mappable.new_column_type == "board_relation" and mappable.lacks_target:
            raise ActionError(
                f"{mappable.label} needs the board of the {mappable.target} records, which isn't set up. Set it up, "
                "too, or leave the field out."
            )
        # If a column with another title has the id already, Monday assigns an id.
        same_id = board.column(mappable.column_id)
        is_free = same_id is None or field_choices.fold_title(same_id.title) == field_choices.fold_title(mappable.label)
        # Without `types`, set-up doesn't adopt an existing column of another type.
        return replace(mappable.column_spec(mappable.column_id if is_free else None), types=())

    def store(self, link: BoardLink, setup: BoardSetup) -> board_setup.StoredColumns:
        filter_before = link.sync_filter
        link.sync_filter = dict(self.choices.sync_filter)
        link.creates_records = self.choices.creates_records
        link.save(update_fields=["creates_records", "sync_filter"])
        previous = {mapping.key: mapping for mapping in link.mappings.all()}
        needs_pass = self._store_mappings(link)
        stored = board_setup.store_columns(self.spec, link, setup, reason="as chosen")
        stored.needs_resync |= needs_pass
        for mapping in link.mappings.all():
            before = previous.get(mapping.key)
            if before is None:
                continue
            if before.column_id not in ("", mapping.column_id):
                stored.remapped[mapping.remap_key] = self.setup["by"]
            if before.rule != mapping.rule:
                enqueue_affected(mapping, self.setup["by"])
        if filter_before != link.sync_filter:
            # In the transaction that stores the filter, so that no record that it leaves out stays `synced`.
            stored.done.append("changed the filter")
            stored.needs_resync = True
            self._enqueue_unmatched()
        return stored

    def _store_mappings(self, link: BoardLink) -> bool:
        """Store the choice for each field; return whether the records need a pass because of it."""
        needs_pass = False
        for position, mappable in enumerate(self.spec.mappings):
            choice = self.choices.fields.get(mappable.key)
            # A field that isn't synced keeps its row, so that later set-ups don't count it as new.
            values: dict[str, Any] = {"direction": SyncDirection.NONE, **board_columns.NO_PROBLEM}
            if choice is not None and choice.is_synced:
                first_match = self.choices.first_match
                values = {"direction": choice.direction, "rule": choice.rule, "first_match": first_match}
            column_id = choice.column if choice is not None and choice.column == board_columns.NAME_TYPE else ""
            # `make_mapping` gives the values only to new rows.
            mapping, is_new = board_setup.make_mapping(link, mappable, position, column_id=column_id, **values)
            direction_before = SyncDirection.NONE if is_new else mapping.direction
            needs_pass |= direction_before != values["direction"]
            FieldMapping.objects.filter(pk=mapping.pk).update(**values)
        return needs_pass

    def _enqueue_unmatched(self) -> None:
        """Enqueue the listed items, which the new filter may leave out or let in."""
        entity_type = self.spec.entity_type
        unmatched = UnmatchedItem.objects.listed().filter(entity_type=entity_type).order_by("id")
        items = unmatched.values_list("item_id", flat=True)
        enqueue(entity_type, items=items, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


def _lock_end(seconds: float) -> str:
    return (sync_now() + timedelta(seconds=seconds)).isoformat()
