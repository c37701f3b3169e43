"""Where each conflict of a batch stands now: what the batch kept of it, and what has become of the conflict since."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, Count, Q, QuerySet, Value, When
from django.utils.translation import gettext_lazy as _

from conflicts.models import BatchState, ConflictBatch, Outcome, Undoing
from conflicts.progress import progress_of

WAITING, APPLYING, SETTLED, HANDED_BACK = "waiting", "applying", "settled", "handed_back"
CHANGED, REFUSED, LEFT_OUT = "changed", "refused", "left_out"
UNDOING, UNDONE, NOT_UNDONE = "undoing", "undone", "not_undone"

WORDS = {
    WAITING: _("waiting to be stored"),
    APPLYING: _("being applied"),
    SETTLED: _("settled"),
    HANDED_BACK: _("came back"),
    CHANGED: _("changed since, left alone"),
    REFUSED: _("refused"),
    LEFT_OUT: _("left out"),
    UNDOING: _("being undone"),
    UNDONE: _("undone, open again"),
    NOT_UNDONE: _("not undone"),
}
MOVING = (WAITING, APPLYING, UNDOING)
"""Where asking again will tell something new."""

_OPEN = Q(conflict__resolved_at=None)
_APPLYING = _OPEN & Q(conflict__choice__isnull=False) & ~Q(conflict__choice__fields={})
_STANDING = Case(
    When(outcome=Outcome.READY, then=Value(WAITING)),
    When(outcome=Outcome.CHANGED, then=Value(CHANGED)),
    When(outcome=Outcome.REFUSED, then=Value(REFUSED)),
    When(outcome=Outcome.LEFT_OUT, then=Value(LEFT_OUT)),
    When(undo=Undoing.REFUSED, then=Value(NOT_UNDONE)),
    When(undo=Undoing.DONE, then=Value(UNDONE)),
    When(Q(undo=Undoing.ASKED) & _OPEN, then=Value(UNDONE)),
    When(undo__in=(Undoing.WANTED, Undoing.ASKED), then=Value(UNDOING)),
    When(_APPLYING, then=Value(APPLYING)),
    When(_OPEN, then=Value(HANDED_BACK)),
    default=Value(SETTLED),
    output_field=CharField(),
)


def standing(batch: ConflictBatch) -> QuerySet[Any]:
    """The batch's rows, each with `stands`, one of the words above."""
    rows: QuerySet[Any] = batch.entries.annotate(stands=_STANDING).order_by("id")
    return rows


def counts(batch: ConflictBatch) -> dict[str, int]:
    """How many rows stand where, in the order of the words; one query."""
    rows = standing(batch).order_by().values_list("stands").annotate(Count("pk"))
    found: dict[str, int] = {str(name): number for name, number in rows}
    return {name: found[name] for name in WORDS if name in found}


def is_moving(batch: ConflictBatch, counted: dict[str, int]) -> bool:
    """Whether anything of a batch is still on its way; one that nobody has confirmed stands still."""
    return batch.state != BatchState.PREPARED and any(counted.get(name) for name in MOVING)


def done(counted: dict[str, int]) -> int:
    """How many of the confirmed rows have come to where they go; what was left out, or stopped, goes nowhere."""
    return sum(number for name, number in counted.items() if name not in (*MOVING, LEFT_OUT))


def sentence(row: Any) -> str:
    """What became of one row, in words; asks nothing of the database where its conflict was read with it."""
    if row.stands in (CHANGED, REFUSED, LEFT_OUT, NOT_UNDONE):
        return str(row.undo_reason or row.reason)
    if row.stands == WAITING:
        return ""
    return progress_of(row.conflict, why_waits=False).sentence
