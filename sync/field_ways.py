"""Ways out of a field that can't flow: another direction or rule, the board asked anew, its records tried again.

Each is a person's word. What it was decided on is handed in, and refused where it isn't so any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from sync import account, drift, wake
from sync.choices import Cause, Priority, QueueDirection, Rule, SyncDirection
from sync.enqueue import enqueue_many
from sync.loops_now import records_of
from sync.marks import mark_many_pending
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.refused import LEFT_BY
from sync.standstill import standstill


class NoWayOut(RuntimeError):
    """It can't be done, or was overtaken; the message says why and what to do."""


def held_records(mapping: FieldMapping, reason: str = "") -> list[UUID]:
    """Return the records that hold this field, for just this reason where one is given.

    Not those whose value a person has left in NPD: they wait for nobody.
    """
    held = _holding(mapping).exclude(**{f"held__{mapping.key}__has_key": LEFT_BY})
    if reason:
        held = held.filter(**{f"held__{mapping.key}__reason": reason})
    return _ids(held)


def try_again(mapping: FieldMapping, ids: Sequence[UUID], by: str) -> int:
    """Look at these records because a person asks: what was refused, or damped, is sent once more."""
    entity_type = mapping.link.entity_type
    if not ids:
        raise NoWayOut(
            _("Nothing was done: “%(field)s” isn't held there any more.") % {"field": mapping.label}
        )
    with transaction.atomic():
        mark_many_pending(entity_type, ids)
        enqueue_many(
            entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by},
            direction=QueueDirection.TO_MONDAY,
        )  # fmt: skip
        transaction.on_commit(lambda: wake.send(entity_type), robust=True)
    return len(ids)


def turn_field(mapping: FieldMapping, direction: SyncDirection, *, shown: str, by: str) -> FieldMapping:
    """Give a field another direction on all records, and look at those for which that changes anything."""
    with transaction.atomic():
        now = _locked(mapping)
        if now.direction != shown:
            raise NoWayOut(_moved(now, str(SyncDirection(now.direction).label)))
        values = {"direction": direction.value} | ({"problem": ""} if direction is SyncDirection.NONE else {})
        FieldMapping.objects.filter(pk=now.pk).update(**values)
        _look_anew(now, by)
    return now


def let_rule(mapping: FieldMapping, rule: Rule, *, shown: str, by: str) -> FieldMapping:
    """Give a field another rule, and look at the records for which that changes anything."""
    with transaction.atomic():
        now = _locked(mapping)
        if now.rule != shown:
            raise NoWayOut(_moved(now, str(Rule(now.rule).label)))
        FieldMapping.objects.filter(pk=now.pk).update(rule=rule.value)
        _look_anew(now, by)
    return now


def check_board(link: BoardLink) -> str:
    """Ask Monday for the board's columns now, and say what came of it. Raises MondayError, NoWayOut."""
    open_board = copy(link)
    open_board.blocked_until = None  # what blocks the board may be just what has been mended there
    if held := standstill(link.entity_type, open_board, urgent=True).words:
        raise NoWayOut(_("Monday was not asked: %(why)s") % {"why": held})
    before = _troubled(link)
    with account.calling(account.client(urgent=True)):
        board = drift.look_at_board(link)
    if board is None:
        raise NoWayOut(
            _(
                "The board %(board)s isn't shown by Monday: it is archived, deleted, or hidden from the token's user."
            )
            % {"board": link.board_id}
        )
    after = _troubled(link)
    wake.board(link.entity_type)
    if healed := sorted(before - after):
        return _("%(fields)s: the column is back. What was held flows now.") % {"fields": ", ".join(healed)}
    if after:
        return _("The board was asked: nothing has changed. Held still: %(fields)s.") % {
            "fields": ", ".join(sorted(after))
        }
    return _("The board was asked: every mapped column is there.")


def _troubled(link: BoardLink) -> set[str]:
    fresh = BoardLink.objects.get(pk=link.pk)
    labels = fresh.mappings.exclude(problem="").exclude(direction=SyncDirection.NONE)
    return {*labels.values_list("label", flat=True), *([_("NPD ID")] if fresh.npd_id_problem else [])}


def _locked(mapping: FieldMapping) -> FieldMapping:
    rows = FieldMapping.objects.select_related("link").select_for_update(of=("self",))
    return rows.get(pk=mapping.pk)


def _moved(mapping: FieldMapping, label: str) -> str:
    return _("Nothing was done: “%(field)s” was changed meanwhile, to “%(now)s”. Look again.") % {
        "field": mapping.label,
        "now": label,
    }


def _look_anew(mapping: FieldMapping, by: str) -> None:
    """Look at those that hold the field, or whose value was left in NPD, that damp it, or that ask about it."""
    asking = _ledgers(mapping).exclude(conflicts={}).filter(
        Q(conflicts__fields__contains=[mapping.key]) | Q(conflicts__overwritten__contains=[mapping.key])
    )  # fmt: skip
    ids = sorted({*_ids(_holding(mapping)), *records_of(mapping), *_ids(asking)})
    if ids:
        try_again(mapping, ids, by)


def _ledgers(mapping: FieldMapping) -> QuerySet[SyncMetadata]:
    return SyncMetadata.objects.filter(entity_type=mapping.link.entity_type, system="monday")


def _holding(mapping: FieldMapping) -> QuerySet[SyncMetadata]:
    return _ledgers(mapping).filter(held__has_key=mapping.key).exclude(held={})


def _ids(ledgers: QuerySet[SyncMetadata]) -> list[UUID]:
    return [UUID(one) for one in ledgers.order_by("entity_id").values_list("entity_id", flat=True)]
