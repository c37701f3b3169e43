"""Which fields are held because somebody rewrites them, for the pages that show them and offer the ways out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.clock import SyncNow
from sync.models import FieldLoop, FieldMapping
from sync.moments import day_and_time

RECORDS_SHOWN = 10
FIELDS_SHOWN = 50


@dataclass(frozen=True)
class LoopingField:
    """One field with those of its records on which it is rewritten now; `shown` are the first of them."""

    mapping: FieldMapping
    records: int
    shown: Sequence[FieldLoop]

    @property
    def by(self) -> str:
        """Who rewrites it, as far as events have told."""
        return ", ".join(sorted({loop.by for loop in self.shown if loop.by})) or _("somebody")

    @property
    def until(self) -> datetime | None:
        """When the first of its records is sent again by itself."""
        return min((loop.damped_until for loop in self.shown if loop.damped_until), default=None)


def damped_fields() -> QuerySet[FieldLoop]:
    """Return the fields that nothing is sent to now, as they were rewritten after each of our writes."""
    return FieldLoop.objects.annotate(record=Cast("entity_id", TextField())).filter(
        damped_until__gt=SyncNow()
    )


def of_the_ledgers_record() -> Q:
    """Return the condition by which an entry of the ledger finds those of its record."""
    return Q(entity_type=OuterRef("entity_type"), record=OuterRef("entity_id"))


def looping_fields() -> list[LoopingField]:
    """Return what is damped now by field, the one with the most records first; two queries."""
    found: dict[tuple[str, str], list[FieldLoop]] = {}
    for loop in damped_fields().order_by("damped_until", "id"):
        found.setdefault((loop.entity_type, loop.key), []).append(loop)
    mappings = _mappings(found)
    fields = [
        LoopingField(mappings[key], len(loops), loops[:RECORDS_SHOWN])
        for key, loops in found.items()
        if key in mappings
    ]
    return sorted(fields, key=lambda one: -one.records)[:FIELDS_SHOWN]


def records_of(mapping: FieldMapping) -> list[UUID]:
    """Return the records on which this field is damped now."""
    loops = damped_fields().filter(entity_type=mapping.link.entity_type, key=mapping.key)
    return list(loops.order_by("entity_id").values_list("entity_id", flat=True))


def why_damped(loop: FieldLoop, label: str) -> str:
    """Say of one record's field who rewrites it, and until when nothing is sent to it."""
    times = len(loop.times)
    often = (
        ngettext("%(n)s time within an hour", "%(n)s times within an hour", times) % {"n": times}
        if times > 1
        else _("again")
    )
    return _(
        "“%(field)s” was rewritten %(often)s by %(who)s on the board after our writes, so nothing is sent to it until "
        "%(until)s."
    ) % {
        "field": label,
        "often": often,
        "who": loop.by or _("somebody"),
        "until": day_and_time(loop.damped_until) if loop.damped_until else "",
    }


def _mappings(wanted: Mapping[tuple[str, str], object]) -> dict[tuple[str, str], FieldMapping]:
    rows = FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in wanted})
    return {(row.link.entity_type, row.key): row for row in rows}
