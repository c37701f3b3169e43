"""The plan of a set-up of several boards: made by a worker, kept in the cache, shown as sentences.

It is kept under the token of the choices, so that other choices, or half an hour, need another plan.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.core.cache import cache

from sync.choices import Rule
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.messages import ActionError
from sync.limits import quota
from sync.models import SyncedModel
from sync.monday.errors import MondayError
from sync.operations.setup import selection
from sync.operations.setup.planner import BoardPlan, Planner
from sync.outbox.notify import send_task

log = structlog.get_logger(__name__)

# An older plan is made again before it can be started: people work on both sides meanwhile.
PLAN_LIFETIME = timedelta(minutes=30)

# A plan that nobody has worked on for so long is asked for again; of it and of a set-up the page says so.
STALLED = timedelta(seconds=20)

SECONDS_PER_CALL = 2


@dataclass
class SetupPlan:
    """The plan of all boards of a set-up as it stands in the cache."""

    token: str
    choices: list[selection.Choices]
    state: str = "waiting"  # then working, at last done or failed
    done: int = 0
    total: int = 0
    title: str = ""
    moved_at: datetime = field(default_factory=sync_now)  # when a worker last got on with it, or it was asked for
    problem: str = ""
    boards: list[BoardPlan] = field(default_factory=list)

    @property
    def is_busy(self) -> bool:
        return self.state in ("waiting", "working")

    @property
    def is_stalled(self) -> bool:
        """Whether nobody gets on with it: no worker runs, or the one that had it was killed."""
        return self.is_busy and sync_now() - self.moved_at > STALLED

    @property
    def is_old(self) -> bool:
        return sync_now() - self.moved_at > PLAN_LIFETIME

    @property
    def calls(self) -> int:
        return sum(board.calls for board in self.boards)

    @property
    def minutes(self) -> int:
        return math.ceil(self.calls * SECONDS_PER_CALL / 60)

    @property
    def share_of_day(self) -> float | None:
        """Return the calls as a share of the day's quota; None where that isn't known."""
        return quota.share_of_day(self.calls)

    def save(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)
        self.moved_at = sync_now()
        cache.set(_cache_key(self.token), self, PLAN_LIFETIME.total_seconds() * 2)


def _cache_key(token: str) -> str:
    return f"sync.setup.plan.{token}"


def stored_plan(token: str) -> SetupPlan | None:
    plan: SetupPlan | None = cache.get(_cache_key(token))
    return plan


def request_plan(token: str, choices: Iterable[selection.Choices], *, anew: bool = False) -> SetupPlan:
    """Return the plan of these choices; have a worker make it where there is none, or it is old, or nobody made it."""
    plan = stored_plan(token)
    if plan is None or anew or (plan.is_old and not plan.is_busy):
        plan = SetupPlan(token, list(choices))
        plan.save()
        send_task("sync.plan_set_up", token)
    elif plan.is_stalled:
        send_task("sync.plan_set_up", token)
    return plan


def make_plan(token: str) -> None:
    """Make a plan that was asked for, unless another worker does."""
    plan = stored_plan(token)
    if plan is None or not plan.is_busy or (plan.state == "working" and not plan.is_stalled):
        return
    others = {choices.entity_type: choices.board_id for choices in plan.choices}
    plan.save(state="working")
    boards = []
    records_of_others = list[SyncedModel]()
    try:
        for choices in plan.choices:
            plan.save(title=choices.spec.board_title, done=0, total=0)
            chosen = selection.read_board(choices, others)
            if problems := chosen.problem_text:
                raise ActionError(f"{choices.spec.board_title}: {problems}")
            planner = Planner(chosen, records_of_others, lambda done, total: plan.save(done=done, total=total))
            boards.append(planner.make())
            records_of_others += planner.records_after_setup
        plan.save(state="done", boards=boards)
    except ActionError as why:
        plan.save(state="failed", problem=str(why))
    except MondayError as error:
        plan.save(state="failed", problem=humanize.without_request_id(error.sentence))
    except Exception:
        log.exception("a set-up could not be planned")
        plan.save(state="failed", problem="NPD Sync itself failed. Please report it with the worker's log.")
        raise


# A plan's rows as sentences.


DONE_ROWS = {
    "create": ("item is created on Monday", "items are created on Monday"),
    "link": ("record is linked with its item", "records are linked with their items"),
    "to_monday": ("item is updated on Monday", "items are updated on Monday"),
    "to_npd": ("record is updated in NPD", "records are updated in NPD"),
    "from_items": ("record is created from an item on Monday", "records are created from items on Monday"),
    "no_key": ("item has no value to match by: it becomes a record later",
               "items have no value to match by: they become records later"),
    "stops": ("record is no longer synced: the filter leaves it out",
              "records are no longer synced: the filter leaves them out"),
    "resumes": ("record is synced again: the filter lets it through",
                "records are synced again: the filter lets them through"),
}  # fmt: skip
ASKED_ROWS = {
    "conflicts": ("conflict to resolve", "conflicts to resolve"),
    "ambiguous": ("record fits several items: you choose which", "records fit several items: you choose which"),
    "items_asked": ("item could be a record that NPD has: you are asked",
                    "items could be records that NPD has: you are asked"),
    "names": ("value names a record that NPD doesn't have", "values name records that NPD doesn't have"),
    "same_name": ("record gets a new item though an item without a value to match by has its name",
                  "records get new items though items without a value to match by have their names"),
    "blocked": ("field can't be synced; the record's other fields are",
                "fields can't be synced; the records' other fields are"),
    "doubtful": ("value will probably be rejected by Monday; the record's other fields are synced",
                 "values will probably be rejected by Monday; the records' other fields are synced"),
    "invalid": ("record isn't synced: Monday would reject it", "records aren't synced: Monday would reject them"),
    "missing": ("record has lost its item: it isn't on the board",
                "records have lost their items: they aren't on the board"),
}  # fmt: skip
# What a plan counts, for one and for several; what there is none of isn't shown.
LEFT_ROWS = {
    "held": ("record gets no item for now", "records get no items for now"),
    "items_held": ("item becomes no record for now", "items become no records for now"),
    "unmatched": ("item stays unmatched: no record is created from it",
                  "items stay unmatched: no records are created from them"),
    "sync_off": ("record has sync turned off", "records have sync turned off"),
    "no_item": ("record gets no item: it is synced from Monday only",
                "records get no items: they are synced from Monday only"),
    "kept_out": ("record gets no item: the filter leaves it out", "records get no items: the filter leaves them out"),
    "stays_out": ("record is left out by the filter, as before", "records are left out by the filter, as before"),
    "items_out": ("item becomes no record: the filter leaves it out, or a value is wrong",
                  "items become no records: the filter leaves them out, or a value is wrong"),
}  # fmt: skip


def rows_of(plan: BoardPlan, nouns: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Return how many records, items or fields there are of each kind, and some of them, if it matters with why."""
    rows = []
    for code, (singular, plural) in nouns.items():
        if number := plan.counts[code]:
            sentence = humanize.count_with_noun(number, singular, plural)
            rows.append({"code": code, "sentence": sentence, "samples": plan.samples.get(code, [])})
    return rows


def summary_of(plan: BoardPlan) -> str:
    return f"{plan.counts['create']:d} to create, {plan.counts['link']:d} to link, {plan.attention:d} to look at"


def first_match_text(rule: str) -> str:
    return "you are asked" if rule == Rule.ASK else str(Rule(rule).label)
