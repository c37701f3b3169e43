"""What a person can do with rows of the queue: which rows an act fits, what it does, and how that is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from sync.admin import words
from sync.admin.queue_paging import LIVE
from sync.choices import QueueStatus
from sync.models import SyncQueue
from sync.queue import CountChanged, Steered, SyncQueueService
from sync.queue_permissions import Steering, may
from sync.steering import exactly, patiently


@dataclass(frozen=True)
class Act:
    """One act. `verb` and `done` make its sentences, `left` says of one row, and of several, why they were left."""

    name: Steering
    verb: str | Promise
    effect: str | Promise
    done: str | Promise
    left: tuple[str | Promise, str | Promise]
    fits: tuple[QueueStatus, ...]
    run: Callable[[SyncQueueService, QuerySet[SyncQueue], str], Steered]
    run_one: Callable[[SyncQueueService, int, str], SyncQueue]

    def may(self, user: Any) -> bool:
        """Whether this user may do it."""
        return may(user, self.name)


RETRY = Act(
    Steering.RETRY,
    gettext_lazy("Retry"),
    gettext_lazy("Each is looked at as soon as a worker is free, with all its tries."),
    gettext_lazy("will be tried again now"),
    (gettext_lazy("is done already"), gettext_lazy("are done already")),
    (QueueStatus.PENDING, QueueStatus.FAILED),
    lambda service, rows, by: service.retry_all(rows, by),
    lambda service, row_id, by: service.manual_retry(row_id, by),
)
CANCEL = Act(
    Steering.CANCEL,
    gettext_lazy("Cancel"),
    gettext_lazy(
        "A cancelled row is closed without a look. Its record stays as it is on both sides until something else makes "
        "NPD Sync look at it: a save, an edit on the board, “Sync now”, or the next sweep."
    ),
    gettext_lazy("cancelled"),
    (gettext_lazy("is not waiting"), gettext_lazy("are not waiting")),
    (QueueStatus.PENDING,),
    lambda service, rows, by: service.cancel_all(rows, by),
    lambda service, row_id, by: service.cancel(row_id, by),
)
DISCARD = Act(
    Steering.DISCARD,
    gettext_lazy("Discard"),
    gettext_lazy(
        "A dead letter that is discarded is closed for good and not tried again. Its record stays as it "
        "is on both sides "
        "until something else makes NPD Sync look at it: a save, an edit on the board, “Sync now”, or the next sweep."
    ),
    gettext_lazy("discarded"),
    (gettext_lazy("is not a dead letter"), gettext_lazy("are no dead letters")),
    (QueueStatus.FAILED,),
    lambda service, rows, by: service.discard_all(rows, by),
    lambda service, row_id, by: service.discard(row_id, by),
)
ACTS: dict[str, Act] = {act.name: act for act in (RETRY, CANCEL, DISCARD)}


@dataclass(frozen=True)
class Reach:
    """How far an act reaches among rows: those that it fits, those in flight, and live ones that it doesn't fit."""

    fitting: int
    in_flight: int
    left: int


def in_states(rows: QuerySet[SyncQueue], states: tuple[QueueStatus, ...]) -> QuerySet[SyncQueue]:
    """Return the rows in these states; as an OR, for which PostgreSQL unites the partial indexes."""
    return rows.filter(reduce(or_, (Q(status=state) for state in states)))


def reach(act: Act, rows: QuerySet[SyncQueue]) -> Reach:
    """Count how far an act would reach."""
    fitting = in_states(rows, act.fits).count()
    in_flight = rows.filter(status=QueueStatus.IN_PROGRESS).count()
    return Reach(fitting, in_flight, in_states(rows, LIVE).count() - fitting - in_flight)


def carry_out(act: Act, rows: QuerySet[SyncQueue], by: str, *, expect: int) -> Steered:
    """Do an act to all rows that it fits, where they are as many as expected, else to none.

    Raises CountChanged, or QueueError where saves hold on to the rows.
    """

    def attempt() -> Steered:
        with transaction.atomic():
            steered = act.run(SyncQueueService(), exactly(in_states(rows, act.fits), expect), by)
            if steered.done != expect:  # a worker took one since they were counted
                raise CountChanged(expect, steered.done)
        return steered

    return patiently(attempt)


def sentences(act: Act, steered: Steered, *, gone: int = 0) -> list[str]:
    """Return what came of it: what was done, and what was left as it is and why."""
    said = (
        [_("%(count)s %(done)s.") % {"count": words.counted(steered.done, "row"), "done": act.done}]
        if steered.done
        else []
    )
    if steered.in_flight:
        number = words.counted(steered.in_flight, "row is", "rows are")
        said.append(
            _("%(number)s being worked on right now and %(in_flight)s.")
            % {"number": number, "in_flight": _left(steered.in_flight)}
        )
    if steered.left:
        said.append(
            _("%(count)s %(state)s and %(left)s.")
            % {
                "count": words.counted(steered.left, "row"),
                "state": act.left[0 if steered.left == 1 else 1],
                "left": _left(steered.left),
            }
        )
    if gone:
        said.append(
            _("%(count)s not in the queue any more.") % {"count": words.counted(gone, "row is", "rows are")}
        )
    return said


def _left(number: int) -> str:
    return ngettext("was left alone", "were left alone", number)
