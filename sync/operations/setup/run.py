"""A started set-up: stored on its board's row, carried out by a worker; each step is safe to repeat.

1. `start` checks the choices again and stores them, for all boards or none.
2. `advance_setups`, a periodic task, claims one and sets its board up as `monday_setup` does
   (`boards/board_setup.py`), with the person's choices instead of the registered columns.
3. Then it enqueues the records and items that the plan found. Ordinary passes do the rest.

`BoardLink.setup` holds `state`, `by`, `started`, the `choices` (see `Choices`), the `items_to_check` of the plan, and
its figures in words as `planned`; `until` while a worker has it or it waits for Monday; `made_board` once a worker has
created the board; in the end `done` and `problems`, or the `problem` that stopped or delayed it.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from sync import limits, registry
from sync.choices import Cause, Priority, SetupState
from sync.clock import sync_now
from sync.kernel import process
from sync.kernel.messages import ActionError, NotPossible
from sync.limits import breaker
from sync.models import BoardLink
from sync.models.synced_model import unsynced
from sync.monday.errors import PASSING_SCOPES, MondayError
from sync.operations.setup import board_setup, selection
from sync.operations.setup.plan import PLAN_DONE, STALLED_AFTER, BoardPlan, SetupPlan, named_records
from sync.operations.sweep import enqueue_items
from sync.outbox import notify
from sync.outbox.queue_rows import enqueue
from sync.records import authors

log = structlog.get_logger(__name__)

# Each call to Monday renews the claim. If a worker is killed, another one continues once the claim has run out.
CLAIM_SECONDS = 180


class SetupLost(RuntimeError):
    """Another worker has taken over the set-up, so this one stores nothing."""


# The start.


def start(
    user: User, boards: Sequence[selection.ChosenBoard], plan: SetupPlan, creating_related: Collection[str] = ()
) -> None:
    """Start the set-up of all boards of the plan, or of none; raises ActionError, NotPossible.

    For the types in `creating_related`, create the related records that items name and NPD lacks.
    """
    if plan.state != PLAN_DONE or plan.is_old:
        raise NotPossible("The plan isn't ready yet, or it is too old. Look at it again.")
    with transaction.atomic():
        # A row that doesn't exist can't be locked.
        for spec in registry.entities():
            BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
        links = {link.entity_type: link for link in BoardLink.objects.select_for_update().order_by("entity_type")}
        for chosen, board_plan in zip(boards, plan.boards, strict=True):
            entity_type = board_plan.entity_type
            _start_board(links[entity_type], user, chosen, board_plan)
            filter_text = " ".join(chosen.filter_lines) or "everything is synced."
            remapped = ", ".join(chosen.changed_labels) or "none"
            sentences = [
                f"Set-up started: {board_plan.figures}. Changed mappings: {remapped}. Filter: {filter_text}",
                f"Where both sides differ at first: {chosen.choices.first_match_text}.",
            ]
            missing = board_plan.missing if entity_type in creating_related else {}
            for related_type, names in missing.items():
                model = registry.entity(related_type).model
                records = model._default_manager.bulk_create(named_records(model, names))
                sentences.append(f"Created {registry.count_of_type(len(records), related_type)} named by items.")
            _log_setup(user, entity_type, " ".join(sentences))
        transaction.on_commit(lambda: notify.send_task("sync.set_up"), robust=True)


def _start_board(link: BoardLink, user: User, chosen: selection.ChosenBoard, plan: BoardPlan) -> None:
    """Check the choices again, because they were read before the lock, and store them."""
    choices = chosen.choices
    title = choices.spec.board_title
    if selection.is_running(link):
        raise NotPossible(f"{title}: somebody has started another set-up. Wait until it is done.")
    if plan.settings != selection.board_settings(choices.link):
        raise NotPossible(f"{title}: somebody has changed the board's settings meanwhile. Compare again.")
    if problems := chosen.problem_text:
        raise NotPossible(f"{title}: {problems}")
    selection.check_board(choices.entity_type, choices.board_id)
    link.setup = {
        "state": SetupState.RUNNING,
        "by": user.get_username(),
        "started": sync_now().isoformat(),
        "choices": choices.to_json(),
        "items_to_check": plan.items_to_check,
        "planned": plan.figures,
    }
    link.save(update_fields=["setup"])


def _log_setup(user: User, entity_type: str, sentence: str) -> None:
    """Write a line in the admin log, under the board's name."""
    authors.log_model_action(user, BoardLink, sentence, name=registry.entity(entity_type).board_title)


def setup_progress() -> list[dict[str, Any]]:
    """Return the state of each started set-up, with its steps and problems so far."""
    setups = dict(BoardLink.objects.exclude(setup=None).values_list("entity_type", "setup"))
    rows = []
    for spec in registry.entities():
        if (setup := setups.get(spec.entity_type)) is None:
            continue
        state = SetupState(setup["state"])
        is_unclaimed = state == SetupState.RUNNING and "until" not in setup
        problem = setup.get("problem", "")
        rows.append({
            "title": spec.board_title,
            "state": state,
            "is_stalled": is_unclaimed and sync_now() - datetime.fromisoformat(setup["started"]) > STALLED_AFTER,
            "planned": setup.get("planned", ""),
            "done": setup.get("done", []),
            "problems": [*setup.get("problems", []), *([problem] if problem else [])],
        })  # fmt: skip
    return rows


# A worker.


class StartedSetup:
    """A started set-up that this worker has claimed; `values` are its board's `setup`.

    A claim lasts until `until`, and another worker's claim always ends later. So `until` also tells whose it is.
    """

    def __init__(self, entity_type: str, values: dict[str, Any]) -> None:
        self.spec = registry.entity(entity_type)
        self.values = values
        self.choices = selection.Choices.parse(values["choices"])

    def save(self, **values: Any) -> None:
        """Store values and renew the claim; raises SetupLost if another worker has the set-up."""
        row = self._claimed_row()
        self.values |= {**values, "until": _time_in(CLAIM_SECONDS)}
        if not row.update(setup=self.values):
            raise SetupLost

    def store_new_board(self, board_id: str) -> None:
        """Store the board that this set-up has created."""
        self.choices = replace(self.choices, board_id=board_id)
        self.save(choices=self.choices.to_json(), made_board=True)

    def release(self, state: SetupState, **values: Any) -> None:
        """End the claim and store how the set-up ended, or when it continues."""
        dropped = {"until", "problem"}
        if state == SetupState.DONE:
            # Names of people, which an erasure wouldn't find here.
            dropped |= {"choices", "items_to_check"}
        kept = {key: value for key, value in self.values.items() if key not in dropped}
        self._claimed_row().update(setup={**kept, **values, "state": state})

    def _claimed_row(self) -> QuerySet[BoardLink]:
        return BoardLink.objects.filter(
            entity_type=self.spec.entity_type, setup__state=SetupState.RUNNING, setup__until=self.values["until"]
        )


def _time_in(seconds: float) -> str:
    return (sync_now() + timedelta(seconds=seconds)).isoformat()


def advance_setups() -> None:
    """Continue the started set-ups, one after another, in the order in which types are registered."""
    for spec in registry.entities():
        if process.is_shutting_down():
            return
        started = _claim(spec.entity_type)
        if started is not None:
            _advance(started)
        # A type with a relation comes after the type that it points at, and waits until that type's board exists.
        if BoardLink.objects.filter(entity_type=spec.entity_type, setup__state=SetupState.RUNNING).exists():
            return


@transaction.atomic
def _claim(entity_type: str) -> StartedSetup | None:
    """Claim a started set-up, unless another worker has it or it waits for Monday."""
    rows = BoardLink.objects.select_for_update().filter(entity_type=entity_type, setup__state=SetupState.RUNNING)
    link = rows.first()
    if link is None:
        return None
    until = link.setup.get("until")
    if until is not None and datetime.fromisoformat(until) > sync_now():
        return None
    link.setup["until"] = _time_in(CLAIM_SECONDS)
    link.save(update_fields=["setup"])
    return StartedSetup(entity_type, link.setup)


def _advance(started: StartedSetup) -> None:
    """Set the board up; store how that ended."""
    try:
        outcome = _set_up(started)
        _enqueue_records(started)
    except SetupLost:
        log.info("a set-up is another worker's by now", board=started.spec.entity_type)
    except SoftTimeLimitExceeded:
        # The task ran out of time, which isn't the set-up's failure: a later run continues it.
        raise
    except ActionError as why:
        started.release(SetupState.STOPPED, problem=str(why))
    except MondayError as error:
        if error.scope not in PASSING_SCOPES:
            started.release(SetupState.STOPPED, problem=error.sentence)
            return
        breaker.stop_account(error)
        problem = f"{error.sentence} The set-up goes on by itself."
        started.release(SetupState.RUNNING, problem=problem, until=_time_in(error.wait_seconds or 10))
    except Exception:  # an unknown error of one type must not delay the others
        log.exception("a set-up could not be continued", board=started.spec.entity_type)
        problem = "NPD Sync itself failed. Please report it with the worker's log."
        started.release(SetupState.STOPPED, problem=problem)
    else:
        started.release(SetupState.DONE, done=outcome.done, problems=outcome.problems)
        person = User.objects.filter(username=started.values["by"]).first()
        if person is not None:
            _log_setup(person, started.spec.entity_type, "Set-up done.")


def _set_up(started: StartedSetup) -> board_setup.SetupOutcome:
    """Create or read the board and set it up as chosen; raises ActionError, MondayError, SetupLost."""
    # Many slow calls take longer than a claim lasts.
    connector = limits.connector(urgent=True, before_call=started.save)
    board = board_setup.open_board(connector, started.spec, started.choices.board_id, started.store_new_board)
    if board is None:
        raise ActionError(selection.removed_board_text(started.choices.board_name, started.choices.board_id, None))
    chosen = selection.ChosenBoard(started.choices, board)
    is_new = started.values.get("made_board", False)
    return board_setup.set_up_board(chosen, board, connector, is_new=is_new, by=started.values["by"])


def _enqueue_records(started: StartedSetup) -> None:
    """Enqueue all records without an item, and the items that the plan found without a record."""
    spec = started.spec
    link = BoardLink.objects.get(entity_type=spec.entity_type)
    names = started.values["items_to_check"]
    without_item = spec.model._default_manager.filter(monday_id=None).exclude(unsynced())
    ids = list(without_item.order_by("created_at", "pk").values_list("pk", flat=True))
    with transaction.atomic():
        enqueue(spec.entity_type, ids, cause=Cause.SWEEP, priority=Priority.LOAD)
        enqueue_items(link, names.keys(), cause=Cause.SWEEP, names=names)
