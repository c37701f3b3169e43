"""Which fields are held because somebody rewrites them, for the lists that show their records."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from sync.clock import SyncNow
from sync.models import FieldLoop


def damped_fields() -> QuerySet[FieldLoop]:
    """Return the fields that nothing is sent to now, as they were rewritten after each of our writes."""
    return FieldLoop.objects.annotate(record=Cast("entity_id", TextField())).filter(
        damped_until__gt=SyncNow()
    )


def of_the_ledgers_record() -> Q:
    """Return the condition by which an entry of the ledger finds those of its record."""
    return Q(entity_type=OuterRef("entity_type"), record=OuterRef("entity_id"))
