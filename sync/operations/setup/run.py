"""The run of a set-up that a person has started.

It is stored on its board's row and carried out by a worker; each step is safe to repeat.

1. `start` stores the plan's choices, for all boards or none.
2. `advance_setups`, a periodic task, takes the board's lease and sets it up as `monday_setup` does (board_setup.py),
   with the person's choices instead of the suggested ones.
3. Then it enqueues the items that the plan found. Ordinary passes do the rest.

`BoardLink.setup` holds `state`, `by`, `started`, the `choices` (see `Choices`), what a worker needs of the plan
(PLANNED, see `SetupBoardPlan`), the number of each kind as `planned`; `made_board` once a worker has created the board;
in the end `done`; and `problems`, also those that stopped or delayed it.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count

from sync import registry
from sync.choices import Cause, QueueStatus, SetupState
from sync.clock import SyncNow, sync_now
from sync.kernel import process
from sync.kernel.acts import ActionError, NotPossible
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import breaker, metered_client
from sync.limits.breaker import monday_account
from sync.models import BoardLink, SyncQueue
from sync.monday.errors import PASSING_SCOPES, MondayError
from sync.operations.planned_changes import ChangeKind
from sync.operations.setup import board_setup, item_links, selection
from sync.operations.setup.board_plan import SetupBoardPlan, new_named_records
from sync.operations.setup.plan import SetupPlan
from sync.operations.sweep import enqueue_items
from sync.outbox import wakeups
from sync.outbox.claim import Lease, LeaseLost, acquire
from sync.words.message import Message, of_error, reason_of, sentences

log = structlog.get_logger(__name__)

# The ids and names that the worker needs of a plan. They are dropped in the end, because an erasure wouldn't find them.
PLANNED = ("items_to_check", "unplanned_records", "unplanned_items", "links", "new_items", "new_records")


def start(user: User, plan: SetupPlan, creating_related: Collection[str] = ()) -> None:
    """Start the set-up of all boards of the plan, or of none; raises ActionError.

    For the types in `creating_related`, create the related records that items name and NPD lacks.
    """
    if plan.state != "done" or plan.is_old:
        raise NotPossible("The plan isn't ready yet, or it is too old. Look at it again.")
    with transaction.atomic():
        # A row that doesn't exist can't be locked.
        for spec in registry.entities():
            BoardLink.objects.get_or_create(entity_type=spec.entity_type, defaults={"match_key": spec.match_key})
        links = {link.entity_type: link for link in BoardLink.objects.select_for_update().order_by("entity_type")}
        for board_plan in plan.boards:
            _start_board(links[board_plan.entity_type], user, board_plan)
            missing = board_plan.missing if board_plan.entity_type in creating_related else {}
            for related_type, names in missing.items():
                model = registry.entity(related_type).model
                model.objects.bulk_create(new_named_records(model, names))
        transaction.on_commit(lambda: wakeups.send_task("sync.set_up"), robust=True)


def _start_board(link: BoardLink, user: User, plan: SetupBoardPlan) -> None:
    """Store the choices, unless the stored settings aren't those of the plan's time; `link` is locked."""
    choices = plan.chosen.choices
    if link.is_being_set_up:
        raise NotPossible(f"{plan.title}: somebody has started another set-up. Wait until it is done.")
    if plan.chosen.stored != selection.stored_choices(link):
        raise NotPossible(f"{plan.title}: somebody has changed the board's settings meanwhile. Compare again.")
    selection.check_board_choice(choices.entity_type, choices.board_id)
    link.setup = {
        "state": SetupState.RUNNING,
        "by": user.get_username(),
        "started": sync_now().isoformat(),
        "choices": choices.to_json(),
        "planned": [(kind, len(plan.groups[kind])) for kind in ChangeKind if kind in plan.groups],
        **{name: getattr(plan, name) for name in PLANNED},
    }
    link.save(update_fields=["setup"])


def setup_progress() -> list[dict[str, Any]]:
    """Return each started set-up with its board's title, plan, steps and problems so far, and how many jobs are due."""
    setups = dict(BoardLink.objects.exclude(setup=None).values_list("entity_type", "setup"))
    started = [(spec, setups[spec.entity_type]) for spec in registry.entities() if spec.entity_type in setups]
    # What is tried again later, or waits for its match key, was compared already.
    due = SyncQueue.objects.filter(status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS), next_retry__lte=SyncNow())
    jobs = dict(due.order_by().values_list("entity_type").annotate(Count("pk")))
    return [
        setup
        | {
            "entity_type": spec.entity_type,
            "title": spec.board_title,
            "started": datetime.fromisoformat(setup["started"]),
            "state": SetupState(setup["state"]),
            "to_compare": jobs.get(spec.entity_type, 0),
            "planned": [(ChangeKind(kind).label, number) for kind, number in setup.get("planned", ())],
        }
        for spec, setup in started
    ]


# What a worker does.


def advance_setups() -> None:
    """Continue the started set-ups, one after another, in the order in which types are registered."""
    for spec in registry.entities():
        link = BoardLink.objects.filter(entity_type=spec.entity_type).first()
        if link is None or not link.is_being_set_up:
            continue
        if process.is_shutting_down() or breaker.stop_of_call(None, account=monday_account()):
            return
        lease = acquire(link, board_setup.LEASE_SECONDS)
        if lease is None:
            return
        with suppress(LeaseLost), lease:
            # Another worker may have finished it before this one had the lease.
            link.refresh_from_db(fields=["setup"])
            if link.is_being_set_up:
                _advance(spec, lease)
        link.refresh_from_db(fields=["setup"])
        # A type with a relation comes after the type that it points at, and waits until that type's board exists.
        if link.is_being_set_up:
            return


def _advance(spec: registry.EntitySpec, lease: Lease) -> None:
    """Set the board up; store how that ended."""
    try:
        outcome = _set_up(spec, lease)
    except (LeaseLost, SoftTimeLimitExceeded):
        # Not the set-up's failure: another worker or a later run continues it.
        raise
    except ActionError as why:
        _store(lease, state=SetupState.STOPPED, problems=[reason_of(why)])
    except MondayError as error:
        if error.scope in PASSING_SCOPES:
            breaker.stop_account(error)
            _store(lease, problems=[sentences(of_error(error), Message("setup_continues"))])
        else:
            _store(lease, state=SetupState.STOPPED, problems=[of_error(error)])
    except Exception:  # an unknown error of one type must not delay the others
        log.exception("a set-up could not be continued", board=spec.entity_type)
        _store(lease, state=SetupState.STOPPED, problems=[Message("own_fault_here")])
    else:
        _store(lease, state=SetupState.DONE, done=outcome.steps, problems=outcome.problems)


def _set_up(spec: registry.EntitySpec, lease: Lease) -> board_setup.SetupOutcome:
    """Set the board up as chosen and enqueue its items; raises ActionError, MondayError, LeaseLost."""
    setup = lease.link.setup
    choices = selection.Choices.parse(setup["choices"])
    is_new = setup.get("made_board", False) or not choices.board_id
    connector = metered_client.connector(urgent=True)

    def store_new_board(board_id: str) -> None:
        _store(lease, choices=replace(choices, board_id=board_id).to_json(), made_board=True)

    board = board_setup.ensure_board(connector, spec, choices.board_id, store_new_board)
    chosen = selection.ChosenBoard(replace(choices, board_id=board.id), board)
    recognized = {*setup["links"].values(), *setup["new_records"]}
    outcome = board_setup.set_up_board(chosen, connector, is_new=is_new, by=setup["by"], recognized=recognized)
    link = BoardLink.objects.get(pk=lease.link.pk)
    items = setup["items_to_check"]
    with lease.transaction():
        item_links.link_chosen(link, setup["links"], by=setup["by"])
        item_links.mark_unplanned(link, setup["unplanned_records"], setup["unplanned_items"])
        item_links.request_new(link, setup["new_items"], setup["new_records"], by=setup["by"])
        enqueue_items(link, items.keys(), cause=Cause.SWEEP, names=items, by=setup["by"])
    return outcome


@retry_on_lock_timeout
def _store(lease: Lease, **values: Any) -> dict[str, Any]:
    """Store values of the set-up unless another worker has the board's lease, and return all; raises LeaseLost."""
    dropped = {"choices", *PLANNED} if values.get("state") == SetupState.DONE else set()
    with lease.transaction():
        link = BoardLink.objects.select_for_update().get(pk=lease.link.pk)
        kept = {key: value for key, value in link.setup.items() if key not in dropped}
        link.setup = {**kept, "problems": [], **values}
        link.save(update_fields=["setup"])
    return dict(link.setup)
