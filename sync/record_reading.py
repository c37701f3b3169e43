"""What Monday shows of one record right now, and what its next look would do with it: one call, nothing written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import OperationalError
from django.utils.translation import gettext as _

from sync import account, registry
from sync.connectors.monday.errors import MondayError
from sync.dryrun.entries import Entry
from sync.explain.facts import NOT_READ, explain
from sync.explain.finding import Found
from sync.models import SyncedModel


@dataclass(frozen=True)
class Reading:
    """Monday's values by field as displayed, and what the next look would do; `unread` says why they are missing."""

    values: Mapping[str, str] = field(default_factory=dict)
    next: Sequence[Entry] = ()
    unread: str = ""


def read_now(record: SyncedModel) -> Reading:
    """Ask Monday for one record's item, as its next look would."""
    if not record.may_sync:
        return Reading(unread=_("Sync is off for this record, so no look reads its item. Resume it first."))
    spec = registry.entity(record.entity_type())
    try:
        # A person's click: out of what is kept for clicks, too.
        with account.calling(account.client(urgent=True)):
            told = explain(Found(spec, record.pk, record))
    except MondayError as error:
        return Reading(unread=error.sentence)
    except OperationalError:
        return Reading(unread=_("The record is being synced at this moment. Try again in a few seconds."))
    values = {one.key: one.monday for one in told.fields if one.monday != NOT_READ}
    unread = "" if values else told.unread or _("It has no item on Monday that could be read.")
    return Reading(values, told.next or (), unread)
