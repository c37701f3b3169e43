"""The plan of a set-up, which a worker makes and caches by its choices. It is too old after 30 minutes."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.core.cache import cache

from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.acts import ActionError
from sync.limits import api_quota
from sync.models import SyncedModel
from sync.monday.errors import MondayError
from sync.operations.setup import selection
from sync.operations.setup.board_plan import SetupBoardPlan, plan_board
from sync.outbox.wakeups import send_task
from sync.words.message import Message, of_error

log = structlog.get_logger(__name__)

# A set-up can't be started from an older plan, because people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

# A plan is requested again if no worker has begun it after this long, or its worker has been silent for this long.
UNTOUCHED_AFTER = timedelta(seconds=20)
SILENT_AFTER = timedelta(minutes=5)

# For the estimated duration.
SECONDS_PER_CALL = 2


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up, as the cache holds it."""

    key: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then "working", finally "done" or "failed"
    title: str = ""  # of the board that a worker is comparing
    items_read: int = 0  # of that board, so far
    progressed_at: datetime = field(default_factory=sync_now)  # when it was requested, then of a worker's last step
    problem: str = ""
    boards: list[SetupBoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nothing happens: no worker runs, or the plan's worker was killed."""
        limit = UNTOUCHED_AFTER if self.state == "waiting" else SILENT_AFTER
        return self.is_busy and sync_now() - self.progressed_at > limit

    @property
    def is_old(self) -> bool:
        return sync_now() - self.progressed_at > PLAN_LIFETIME

    @property
    def calls(self) -> int:
        return sum(board.calls for board in self.boards)

    @property
    def minutes(self) -> int:
        return math.ceil(self.calls * SECONDS_PER_CALL / 60)

    @property
    def share_text(self) -> str:
        return api_quota.share_text(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.progressed_at = sync_now()
        cache.set(_cache_key(self.key), self, PLAN_LIFETIME.total_seconds() * 2)


def _cache_key(key: str) -> str:
    return f"sync.setup.plan.{key}"


def stored_plan(key: str) -> SetupPlan | None:
    plan: SetupPlan | None = cache.get(_cache_key(key))
    return plan


def request_plan(key: str, choices: Iterable[selection.Choices], *, again: bool = False) -> SetupPlan:
    """Return the plan of these choices; have a worker make it if it is missing, old or stalled."""
    plan = stored_plan(key)
    if plan is None or again or (plan.is_old and not plan.is_busy):
        plan = SetupPlan(key, list(choices))
        plan.save()
        send_task("sync.plan_set_up", key)
    elif plan.is_stalled:
        send_task("sync.plan_set_up", key)
    return plan


def make_plan(key: str) -> None:
    """Make a requested plan, unless another worker is making it."""
    plan = stored_plan(key)
    if plan is None or not plan.is_busy or (plan.state == "working" and not plan.is_stalled):
        return
    boards_by_type = {choices.entity_type: choices.board_id for choices in plan.choices}
    boards = []
    earlier = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(state="working", title=choices.spec.board_title, items_read=0)
            chosen = selection.read_chosen_board(choices, boards_by_type)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            board_plan, records = plan_board(chosen, earlier, lambda number: plan.save(items_read=number))
            boards.append(board_plan)
            earlier += records
        plan.save(state="done", boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(of_error(error)))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem=Message("own_fault_here"))
        raise
