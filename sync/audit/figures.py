"""What the samples of late say, as figures and as a sentence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Max, Sum
from django.utils.translation import gettext as _

from sync import moments
from sync.clock import sync_now
from sync.models import SyncAudit

WINDOW = timedelta(days=1)
"""The samples of the day before the newest one are told as one figure."""


@dataclass(frozen=True)
class Verified:
    """When records that say `synced` were last sampled, how many were compared, how many differed, and when last."""

    at: datetime | None = None
    sampled: int = 0
    drifted: int = 0
    drift_at: datetime | None = None

    def words(self, now: datetime) -> str:
        """Return it as a sentence; honest where nothing was verified."""
        if self.at is None:
            return _never()
        told = {
            "span": moments.span((now - (self.drift_at or self.at)).total_seconds()),
            "drifted": intcomma(self.drifted),
            "sampled": intcomma(self.sampled),
        }
        if not self.drifted:
            equal = _(
                "Verified %(span)s ago: %(sampled)s of %(sampled)s sampled records equal on both sides."
            )
            return equal % told
        drift = _(
            "Drift, found %(span)s ago: %(drifted)s of %(sampled)s sampled records said “synced” and differed. They "
            "are looked at again, which mends them or asks."
        )
        return drift % told


def verified(entity_type: str | None = None) -> Verified:
    """Return what the last day of samples found, of one type's board or of all."""
    rows = SyncAudit.objects.filter(sampled__gt=0)
    if entity_type is not None:
        rows = rows.filter(entity_type=entity_type)
    newest = rows.aggregate(at=Max("at"))["at"]
    if newest is None:
        return Verified()
    day = rows.filter(at__gt=newest - WINDOW)
    drift = day.filter(drifted__gt=0).aggregate(at=Max("at"))
    sums = day.aggregate(sampled=Sum("sampled"), drifted=Sum("drifted"))
    return Verified(newest, sums["sampled"], sums["drifted"], drift["at"])


def together(boards: Iterable[Verified]) -> Verified:
    """Return what several boards' samples say as one."""
    told = [one for one in boards if one.at is not None]
    return Verified(
        at=max((one.at for one in told if one.at), default=None),
        sampled=sum(one.sampled for one in told),
        drifted=sum(one.drifted for one in told),
        drift_at=max((one.drift_at for one in told if one.drift_at), default=None),
    )


def verified_words(entity_type: str | None = None) -> str:
    """Return `verified` as a sentence of now."""
    return verified(entity_type).words(sync_now())


def _never() -> str:
    if settings.AUDIT_CALLS_A_DAY <= 0:
        return _("Not verified: no samples are taken (SYNC_AUDIT_CALLS_A_DAY is 0).")
    return _("Not verified yet: no sample of synced records has been read.")
