"""Undoing a resolution: asked for here, carried out by the record's next look (sync/engine/undoing.py).

Where neither side has moved since, that look gives each side the value that it held before and the conflict is open
again. Where one has, nothing is written; what was lost by the resolution comes back as a conflict of its own.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from conflicts import audit
from conflicts.choice import MONDAY, NPD, UNDO, Pick
from conflicts.entries import chosen_by_people
from conflicts.errors import BadResolution, NotWaiting
from conflicts.history import Events
from conflicts.models import ConflictKind, SyncConflict
from conflicts.picks import current_values
from conflicts.records import default_label, mapped_fields, name_of, record_of
from conflicts.resolution import stored_by, wake_a_look
from sync.boards import link_of
from sync.engine.questions import SAME, TAKES
from sync.hooks import RECORD


def undo(conflict_id: UUID | str, *, by: AbstractBaseUser) -> SyncConflict:
    """Store that a settled conflict is to be open again, and wake the look that undoes it.

    Raises SyncConflict.DoesNotExist, NotWaiting (it is open, or being undone), or BadResolution with the reason why it
    can't be undone and what to do instead.
    """
    with transaction.atomic():
        conflict = SyncConflict.objects.select_for_update().get(pk=conflict_id)
        _must_be_settled(conflict)
        if reason := why_not(conflict):
            raise BadResolution(reason)
        entries = chosen_by_people(conflict)
        picks = {
            key: Pick(entry["choose"], entry["value"], entry["npd"], entry["monday"])
            for key, entry in entries.items()
            if key in conflict.inverse
        }
        choice = stored_by(by, UNDO, picks)
        conflict.choice = choice.to_json()
        conflict.save(update_fields=["choice"])
        events = Events()
        events.undo_wanted(conflict, choice)
        events.save()
        told = " ".join(line.sentence for line in events.lines)
        audit.note_of(by, told, conflict)
        wake_a_look(conflict)
    return conflict


def _must_be_settled(conflict: SyncConflict) -> None:
    name = name_of(conflict, record_of(conflict))
    if conflict.is_open:
        words = _(
            "The conflict of %(name)s is not settled, so there is nothing to undo. Choose in it instead."
        )
        raise NotWaiting(words % {"name": name}, current_values(conflict))
    if conflict.is_being_undone:
        words = _("%(who)s asked for this already, and it is being done. Look again soon.")
        raise NotWaiting(words % {"who": conflict.stored_choice.by}, current_values(conflict))


def why_not(conflict: SyncConflict) -> str:
    """Why a settled conflict can't be undone and what to do instead; an empty text where it can."""
    if not chosen_by_people(conflict):
        return _(
            "It was over by itself, so there is no choice to undo. Change the values on either side instead."
        )
    record = record_of(conflict)
    if conflict.is_about_record:
        return _of_record(conflict, there=record is not None)
    if record is None:
        return _(
            "The record was deleted since. Bring it back from the deleted records, then change its fields."
        )
    if not record.may_sync:
        words = _(
            "Sync is off for %(name)s, so nothing can be written. Switch it on at the record, then undo."
        )
        return words % {"name": record}
    return _of_fields(conflict)


def _of_record(conflict: SyncConflict, *, there: bool) -> str:
    choose = conflict.merge_selections[RECORD]["choose"]
    if conflict.kind == ConflictKind.IDENTITY:
        merged = str(conflict.merge_selections[RECORD].get("value") or "").startswith((SAME, TAKES))
        if merged:
            return _(
                "The two records were merged. Bring the deleted one back from the deleted records; it gets an item of "
                "its own then, or the one that was archived, once somebody restores that on Monday."
            )
        return _(
            "Who is who can't be undone by itself. Unlink the record from Monday on its page, then link it again: "
            "its next look asks anew."
        )
    if not there:
        return _("The record was deleted. Bring it back from the deleted records, with the id that it had.")
    if choose == NPD:
        return _(
            "The item was made again, and Monday has no way to take that back. Archive the new item on the board, "
            "or delete the record."
        )
    if choose == MONDAY:
        return _("The record was brought back. To go back, delete it again; its item is then archived.")
    return _("The record and its item were parted. To go back, link them again on the record's page.")


def _of_fields(conflict: SyncConflict) -> str:
    mapped = mapped_fields(conflict.entity_type, link_of(conflict.entity_type))
    keys = [key for key in chosen_by_people(conflict) if key in conflict.inverse]
    if not keys:
        return _(
            "It isn't known any more what stood on each side before. The values of then are shown here: "
            "put them back by hand, on either side."
        )
    if gone := [key for key in keys if key not in mapped]:
        words = _("%(fields)s: no longer mapped to a column. Put the value back by hand, on either side.")
        return words % {"fields": _labels(conflict, gone)}
    later = _in_conflict_since(conflict, keys)
    if later is not None:
        shared = _labels(conflict, [key for key in keys if key in later.conflict_fields])
        words = _("%(fields)s came into conflict again since. Settle or undo that later conflict first.")
        return words % {"fields": shared}
    return ""


def _in_conflict_since(conflict: SyncConflict, keys: list[str]) -> SyncConflict | None:
    """A conflict of the record on one of these fields that is open, being undone, or was settled later."""
    later = Q(resolved_at=None) | Q(choice__isnull=False) | Q(resolved_at__gt=conflict.resolved_at)
    others = SyncConflict.objects.filter(
        later,
        entity_type=conflict.entity_type,
        entity_id=conflict.entity_id,
        kind__in=(ConflictKind.FIELDS, ConflictKind.OVERWRITTEN),
        conflict_fields__overlap=keys,
    )
    return others.exclude(pk=conflict.pk).order_by("-detected_at").first()


def _labels(conflict: SyncConflict, keys: list[str]) -> str:
    return ", ".join(default_label(conflict.entity_type, key) for key in keys)
